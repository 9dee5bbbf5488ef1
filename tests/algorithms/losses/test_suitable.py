"""Losses that can't be computed from what the models give, said with the widths and what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgekd.algorithms.losses.signals import Signals, Sizes
from edgekd.algorithms.losses.suitable import check
from edgekd.algorithms.losses.terms import Terms
from edgekd.errors import BadInputError
from edgekd.objectives import OBJECTIVES
from edgekd.objectives.table import parse

LAYERS = {"blocks.0": "layers.1", "blocks.1": "layers.3"}
INSIDE: dict[str, Any] = {"layers": LAYERS}
OPTIONS: dict[str, dict[str, Any]] = {
    "hidden": INSIDE,
    "attention": INSIDE,
    "relations": {**INSIDE, "relation_heads": 2},
}


def batch(*, teacher_width: int = 4, channels: int = 6, tokens: int = 3) -> Signals:
    """Five items with everything that a loss could ask for."""
    ours, theirs = LAYERS.keys(), LAYERS.values()
    return Signals(
        student=torch.randn(5, 4),
        teacher=torch.randn(5, teacher_width),
        labels=torch.tensor([0, 3, -1, 2, 1]),
        student_states={name: torch.randn(5, 3, channels) for name in ours},
        teacher_states={name: torch.randn(5, tokens, 6) for name in theirs},
        student_maps={name: torch.rand(5, 2, 3, 3) for name in ours},
        teacher_maps={name: torch.rand(5, 2, 3, 3) for name in theirs},
    )


def tried(losses: list[dict[str, Any]], signals: Signals) -> None:
    check(Terms(parse(losses), Sizes.of(signals)), signals)


@pytest.mark.parametrize("use", OBJECTIVES)
def test_each_loss_passes_where_all_shapes_fit(use: str) -> None:
    tried([{"use": use, **OPTIONS.get(use, {})}], batch())


UNEQUAL = (
    "found a student with 4 dimensions and a teacher with 7, expected as many: coordinates are compared one by one"
)
UNSHARED = (
    "'relations': found vectors of shape (5, 3, 4), expected (items, tokens, dimensions) with dimensions that "
    "5 relation heads can share (the student's 'blocks.0' is 4 wide, the teacher's 'layers.1' 6; "
    "the student's 'blocks.1' is 4 wide, the teacher's 'layers.3' 6)"
)
ANOTHER = "name another loss in 'losses', other 'widths', or a student with vectors as wide as the teacher's"


@pytest.mark.parametrize(
    ("loss", "signals", "message", "hint"),
    [
        ({"use": "mse"}, batch(teacher_width=7), f"'mse': {UNEQUAL}", ANOTHER),
        ({"use": "cosine", "weight": {"from": 0, "to": 1}}, batch(teacher_width=7), f"'cosine': {UNEQUAL}", ANOTHER),
        (
            {"use": "similarity-kl", "widths": [2, 9]},
            batch(),
            "'similarity-kl': found the width 9 in 'widths', expected at most the 4 dimensions of",
            ANOTHER,
        ),
        (
            {"use": "relations", **INSIDE, "relation_heads": 5},
            batch(channels=4),
            UNSHARED,
            "set relation_heads to a number that divides all of these widths, for example 2",
        ),
    ],
)
def test_widths_that_do_not_fit_are_said_with_what_to_do(
    loss: dict[str, Any], signals: Signals, message: str, hint: str
) -> None:
    with pytest.raises(BadInputError) as caught:
        tried([{"use": "labels"}, loss], signals)
    assert caught.value.message.startswith(f"losses[1] {message}")
    assert caught.value.hint == hint


def test_layers_whose_positions_do_not_fit_are_said_with_their_names() -> None:
    with pytest.raises(BadInputError) as caught:
        tried([{"use": "hidden", **INSIDE}], batch(tokens=8))
    assert caught.value.message.startswith(
        "losses[0] 'hidden': found states of shape (5, 3, 6) and (5, 8, 6), expected the same "
        "(the student's 'blocks.0' is 6 wide, the teacher's 'layers.1' 6; "
    )
    assert caught.value.hint == "compare other layers in 'losses', or name another loss"
