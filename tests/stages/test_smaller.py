"""A student made of some of its teacher's layers, before any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import phrases
import pytest

from edgekd import build, device, pipeline, plan
from edgekd.progress import Quiet
from edgekd.store import Store


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phrases.furnish(tmp_path_factory.mktemp("smaller"))


def start(shop: Path, student: str) -> Any:
    """Facts of the student's start."""
    path = shop / "start.toml"
    path.write_text(phrases.EMBEDDING.replace("[student]\nlayers = 2\n", f"[student]\n{student}\n"))
    whole = plan.make(pipeline.load(str(path)), device.load("pixel8"), plan.Options())
    names = [node.name for node in whole.nodes]
    some = replace(whole, nodes=whole.nodes[: names.index("student_start") + 1])
    return build.run(some, Store(shop / "store"), Quiet())[-1].artifact.facts


def test_blocks_before_a_gap_are_fitted(shop: Path) -> None:
    first, last = start(shop, "layers = [0, 3]\nfit_texts = 3000")["unexplained"]["feed_forward"]
    assert 0 < first < 1
    assert 0 < last < 1


def test_a_trimmed_student_is_fitted_to_what_the_teacher_makes_of_the_same_tokens(shop: Path) -> None:
    whole = start(shop, "layers = 4\nfeed_forward = 40\nfit_texts = 3000")["unexplained"]["feed_forward"]
    trimmed = start(shop, 'layers = 4\nfeed_forward = 40\nfit_texts = 3000\nvocabulary = "trimmed"')["unexplained"][
        "feed_forward"
    ]
    assert trimmed == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("student", ["", "fit_texts = 5", "hidden = 16\nfit_texts = 3000"])
def test_without_texts_or_with_channels_of_its_own_nothing_is_fitted(shop: Path, student: str) -> None:
    assert start(shop, f"layers = 2\n{student}")["unexplained"] == {}
