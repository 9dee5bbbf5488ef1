"""A pruned student beside its rivals, which are trained in the same build."""

from __future__ import annotations

from pathlib import Path

import phrases
import pytest
import workshop
from safetensors.torch import load_file

from edgekd import device, pipeline, planning
from edgekd.evidence import Findings
from edgekd.executor import StepTaken
from edgekd.models import loading
from edgekd.rows import _race_notes, plain_facts

PRUNE = '[[stages]]\nuse = "prune"\nmacs_kept = 0.6\nepochs = 1\nbatch_size = 20\ncompare = "keep-winner"\n\n'
EXPORT = '[[stages]]\nuse = "export"'


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """The tiny pipeline with a pruning that costs nearly all that was learnt, which its short recovery can't mend."""
    folder = workshop.furnish(tmp_path_factory.mktemp("race"), weights).folder
    text = workshop.ONNX_ONLY.replace("epochs = 6", "epochs = 1\nround_to = 1\ncompare = true")
    (folder / "tiny.toml").write_text(text.replace("macs_kept = 0.75", "macs_kept = 0.2"))
    return folder / "tiny.toml"


def test_every_rival_takes_as_many_steps_and_the_small_one_has_as_much_work(images: Path) -> None:
    found = workshop.made(images, "student_float")
    epochs = {name: len(each.facts.get("epoch_losses", ())) for name, each in found.items() if name.startswith("race")}
    assert epochs == {
        "race_pruned": 1,
        "race_unpruned": 1,
        "race_small_start": 0,
        "race_small_distilled": len(found["student_unpruned"].facts["epoch_losses"]),
        "race_small": 1,
    }
    start, pruned = found["race_small_start"].facts, found["race_pruned"].facts
    assert start["macs_pruned"] == pruned["macs_after"]
    assert 0.9 * pruned["macs_after"] <= start["macs"] <= pruned["macs_after"]
    small, whole = (loading.load(found[name].path)[0] for name in ("race_small", "race_unpruned"))
    assert sum(each.numel() for each in small.parameters()) < sum(each.numel() for each in whole.parameters())


def test_pruning_that_loses_says_so_and_goes_on_where_nothing_else_is_asked_for(images: Path) -> None:
    found = workshop.made(images, "student_float")
    made = found["student_float"]
    facts = made.facts
    assert facts["winner"] != "pruned"
    assert facts["rivals"][facts["winner"]]["ahead"]
    assert facts["quality"] == pytest.approx(found["race_pruned"].facts["selection_quality"][-1])
    assert facts["rivals"]["unpruned"]["quality"] == pytest.approx(
        found["race_unpruned"].facts["selection_quality"][-1]
    )
    assert all(each["faster"]["lower"] <= each["faster"]["point"] for each in facts["rivals"].values())
    assert facts["notes"][-1].startswith("pruning lost to ")
    assert facts["notes"][-1].endswith('compare = "keep-winner" would have gone on with that one')
    assert "notes" not in plain_facts(made)
    steps = tuple(StepTaken(name, cached=True, seconds=0.0, artifact=each) for name, each in found.items())
    whole = planning.make(pipeline.load(str(images)), device.load("pixel8"), planning.Options())
    assert list(_race_notes(Findings(whole, steps))) == facts["notes"]
    assert made.path.read_bytes() == found["race_pruned"].path.read_bytes()
    images.write_text(images.read_text().replace("compare = true", 'compare = "keep-winner"'))
    kept = workshop.made(images, "student_float")
    best = kept["student_float"].facts["winner"]
    assert kept["student_float"].facts["kept"] == best
    assert kept["student_float"].path.read_bytes() == kept[f"race_{best}"].path.read_bytes()
    assert kept["race_pruned"].key == found["race_pruned"].key  # trained once


def test_encoders_without_labels_are_raced_by_their_nearness_to_the_teacher(
    tmp_path: Path,
) -> None:
    phrases.furnish(tmp_path)
    text = phrases.EMBEDDING.replace(EXPORT, PRUNE + EXPORT).replace("epochs = 10", "epochs = 2")
    (tmp_path / "mine.toml").write_text(text)
    found = workshop.made(tmp_path / "mine.toml", "student_float")
    facts = found["student_float"].facts
    assert facts["quality"] == pytest.approx(found["race_pruned"].facts["selection_quality"][-1], abs=1e-4)
    best = found[f"race_{facts['winner']}"]
    one, other = load_file(found["student_float"].path), load_file(best.path)
    assert all(one[name].equal(other[name]) for name in other)
    assert facts["rows"] == 30
