"""A student made of some of its teacher's layers, before any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import phrases
import pytest
import tinybert

from edgekd import device, executor, pipeline, planning
from edgekd.progress import Quiet
from edgekd.store import Store


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = phrases.furnish(tmp_path_factory.mktemp("smaller"))
    tinybert.save_model(folder / "pupil", hidden_size=16, intermediate_size=32, num_hidden_layers=2)
    return folder


def start(shop: Path, student: str) -> Any:
    """Facts of the student's start."""
    path = shop / "start.toml"
    text = phrases.EMBEDDING.replace("[student]\nlayers = 2\n", f"[student]\n{student}\n")
    path.write_text(text.replace('use = "distill"\n', 'use = "distill"\nlosses = [{ use = "similarity-mse" }]\n'))
    whole = planning.make(pipeline.load(str(path)), device.load("pixel8"), planning.Options())
    names = [node.name for node in whole.nodes]
    some = replace(whole, nodes=whole.nodes[: names.index("student_start") + 1])
    return executor.run(some, Store(shop / "store"), Quiet())[-1].artifact.facts


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


def test_an_encoder_of_its_own_starts_with_a_layer_fitted_to_the_teachers_vectors(shop: Path) -> None:
    """One that is the teacher itself has nothing to make up for, in any width or vocabulary; another one has."""
    for width, vocabulary in ((32, "whole"), (8, "whole"), (8, "trimmed")):
        same = start(shop, f'encoder = "teacher"\noutput_width = {width}\nvocabulary = "{vocabulary}"')
        assert same["unexplained"] < 1e-3, (width, vocabulary)
    other = start(shop, 'encoder = "pupil"\noutput_width = 8')
    assert 0.01 < other["unexplained"] < 0.2


@pytest.mark.parametrize("student", ["", "fit_texts = 5", "hidden = 16\nfit_texts = 3000"])
def test_without_texts_or_with_channels_of_its_own_nothing_is_fitted(shop: Path, student: str) -> None:
    assert start(shop, f"layers = 2\n{student}")["unexplained"] == {}


def test_a_merged_vocabulary_has_fewer_rows_the_more_often_tokens_must_be_used(shop: Path) -> None:
    merged = 'layers = 2\nvocabulary = "merged"\ntoken_min_count = {}'
    few, none = (start(shop, merged.format(least))["parameters"] for least in (20, 10_000))
    assert start(shop, "layers = 2")["parameters"] > few > none
