"""A teacher that runs beside the student, and losses that look inside both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import phrases
import pytest
import tinybert
import torch
from safetensors.torch import load_file

from edgekd import device, executor, pipeline, planning
from edgekd.artifact import Artifact
from edgekd.progress import Quiet
from edgekd.store import Store

LAYER = "backbone.encoder.layer"


def pairs(*numbers: tuple[int, int], inside: str = "") -> str:
    """A TOML table of the student's layers and the teacher's."""
    names = (f'"{LAYER}.{one}{inside}" = "{LAYER}.{other}{inside}"' for one, other in numbers)
    return f"{{ {', '.join(names)} }}"


LOSSES = f"""\
live = true
losses = [
  {{ use = "cosine", weight = 5.0 }},
  {{ use = "hidden", layers = {pairs((0, 1), (1, 3))} }},
  {{ use = "attention", layers = {pairs((1, 3), inside=".attention.self")} }},
  {{ use = "relations", relation_heads = 8, layers = {pairs((1, 3), inside=".attention.self.query")} }},
]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phrases.furnish(tmp_path_factory.mktemp("live"))


def trained(shop: Path, text: str) -> dict[str, Artifact]:
    """Take the steps of a pipeline up to the trained student."""
    path = shop / "live.toml"
    path.write_text(text)
    whole = planning.make(pipeline.load(str(path)), device.load("pixel8"), planning.Options())
    names = [node.name for node in whole.nodes]
    some = replace(whole, nodes=whole.nodes[: names.index("student_float") + 1])
    return {step.name: step.artifact for step in executor.run(some, Store(shop / "store"), Quiet())}


def live(losses: str) -> str:
    plain = phrases.EMBEDDING
    return plain.replace('use = "distill"\n', f'use = "distill"\n{losses}')


@pytest.fixture(scope="module")
def inside(shop: Path) -> dict[str, Artifact]:
    return trained(shop, live(LOSSES))


def test_no_outputs_are_cached_for_a_live_teacher(inside: dict[str, Artifact]) -> None:
    assert list(inside) == ["tokenizer", "teacher", "student_start", "student_float"]


def test_a_student_learns_by_what_its_teachers_layers_give(inside: dict[str, Artifact]) -> None:
    facts: Any = inside["student_float"].facts
    assert facts["epoch_losses"][-1] < 0.9 * facts["epoch_losses"][0]
    assert facts["selection_quality"][-1] > facts["selection_quality"][0]


@pytest.mark.parametrize(
    "loss",
    [
        f'{{ use = "hidden", weight = 10.0, layers = {pairs((0, 1), (1, 3))} }}',
        f'{{ use = "relations", relation_heads = 8, layers = {pairs((1, 3), inside=".attention.self.query")} }}',
    ],
    ids=["hidden", "relations"],
)
def test_one_loss_inside_teaches_alone(loss: str, shop: Path) -> None:
    made = trained(shop, live(f"live = true\nlosses = [{loss}]\n"))
    facts: Any = made["student_float"].facts
    assert facts["epoch_losses"][-1] < 0.9 * facts["epoch_losses"][0]
    first, second = (load_file(made[name].path) for name in ("student_start", "student_float"))
    layer = f"{LAYER}.1.attention.self.query.weight"
    assert not torch.equal(first[layer], second[layer])


def test_the_losses_inside_decide_what_is_learned_and_leave_nothing_behind(
    shop: Path, inside: dict[str, Artifact]
) -> None:
    other = trained(shop, live('live = true\nlosses = [{ use = "cosine", weight = 5.0 }]\n'))
    first, second, start = (
        load_file(each.path) for each in (inside["student_float"], other["student_float"], inside["student_start"])
    )
    assert first.keys() == second.keys() == start.keys(), "projections are thrown away"
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_the_maps_of_an_mpnet_are_learned_from_too(shop: Path) -> None:
    tinybert.save_sentence_model(shop / "mpnet", "mpnet")
    maps = f'losses = [{{ use = "attention", weight = 50.0, layers = {pairs((0, 1), inside=".attention.attn")} }}]'
    text = live(f"live = true\n{maps}\n").replace('encoder = "teacher"', 'encoder = "mpnet"')
    facts: Any = trained(shop, text)["student_float"].facts
    assert facts["epoch_losses"][-1] < 0.9 * facts["epoch_losses"][0]
