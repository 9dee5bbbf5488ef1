"""Encoders that are pruned after distilling, and what their files then are."""

from __future__ import annotations

from pathlib import Path

import phrases
import pytest
import workshop

from edgekd.artifact import Artifact
from edgekd.errors import BadInputError
from edgekd.models import loading
from edgekd.models.encoder_parts import Parts
from edgekd.runtimes.onnx_graph import describe

SHORT = phrases.EMBEDDING.replace("epochs = 10", "epochs = 1")
EXPORT = '[[stages]]\nuse = "export"'
LENGTH = 10  # tokens of the longest text


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phrases.furnish(tmp_path_factory.mktemp("pruned"))


def made(shop: Path, options: str, last: str = "student_float") -> dict[str, Artifact]:
    """What ``last`` needs in a pipeline with these options of pruning, and itself."""
    path = shop / "pruned.toml"
    step = f'[[stages]]\nuse = "prune"\nepochs = 1\nbatch_size = 20\n{options}\n\n'
    path.write_text(SHORT.replace(EXPORT, step + EXPORT))
    return workshop.made(path, last)


def test_the_file_of_a_pruned_encoder_is_really_smaller(shop: Path) -> None:
    """Global ratios, so that layers differ; the work that is left is what the exported file makes its runtime do."""
    options = 'macs_kept = 0.6\nimportance = "taylor"\nratios = "global"'
    found = made(shop, options, "onnx_float")
    facts = found["student_float"].facts
    assert facts["macs_after"] <= 0.6 * facts["macs_before"]
    graph = describe(found["onnx_float"].path, LENGTH)
    assert graph.macs == facts["macs_after"]
    heads, neurons = facts["structures"]["heads"], facts["structures"]["neurons"]
    shape = Parts(loading.load(found["student_float"].path)[0]).shape()
    assert (list(shape.heads), list(shape.neurons)) == (heads, neurons)
    assert f"{sum(heads)} of 8 heads, {sum(neurons)} of 96 neurons" in facts["summary"]
    assert len(facts["epoch_losses"]) == 1


def test_layers_go_whole_and_single_weights_only_where_that_is_asked_for(shop: Path) -> None:
    facts = made(shop, 'parameters_kept = 0.7\nstructures = ["layers"]')["student_float"].facts
    assert facts["structures_after"]["layers"] == 1
    assert "(1 of 2 layers, 4 of 8 heads, 48 of 96 neurons)" in facts["summary"]
    facts = made(shop, "sparsity = 0.5\nacknowledge_no_speedup = true")["student_float"].facts
    assert facts["macs_after"] == facts["macs_before"]


def test_a_target_that_the_named_structures_cannot_reach_is_refused(shop: Path) -> None:
    with pytest.raises(BadInputError, match="of heads no more can go") as caught:
        made(shop, 'macs_kept = 0.3\nstructures = ["heads"]')
    assert caught.value.hint == "name more structures, raise macs_kept, or use a wider student"
