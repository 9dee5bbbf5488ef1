"""The real MediaPipe Tasks, in an environment of their own, answer as edgekd's golden answers do."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tinybert
import venvs
from modelfiles import LABELS, Given, image_facts, tokens

from edgekd.bundle.manifest import Model, Tensor
from edgekd.bundle.mediapipe import obstacles
from edgekd.bundle.tflite_metadata import with_metadata
from edgekd.runtimes.tflite import Runner, describe
from edgekd.tasks.image_classification import prepare

MEDIAPIPE = "mediapipe==1.2.2"
SCRIPT = Path(__file__).parent / "mediapipe_answers.py"
Ask = Callable[[str, bytes, list[str]], dict[str, Any]]
TEXTS = [*tinybert.TEXTS, "The CAT, sat!", "a  mat\n(dog)", "cat " * 30, "中 文", "", "🙂 cat's"]
OTHERWISE = ["café", "CAFÉ", "a\u00a0mat", "[MASK]"]  # words that MediaPipe's tokenizer reads in its own way


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    folder = tmp_path_factory.mktemp("mediapipe")
    python = venvs.made(folder, MEDIAPIPE)

    def asked(task: str, model: bytes, items: list[str]) -> dict[str, Any]:
        (folder / "model.tflite").write_bytes(model)
        request = {"task": task, "model": str(folder / "model.tflite"), "items": items}
        found: dict[str, Any] = venvs.answers(python, SCRIPT, request, folder)
        return found

    return asked


def finished(given: Given) -> bytes:
    return with_metadata(given.model, given.facts, given.assets)


def golden(given: Given, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    return Runner(given.path, 1).run([dict(rows)])


def images(folder: Path) -> list[str]:
    shown = np.repeat(tiny.data().test.images[:30], 3, axis=3)
    for number, image in enumerate(shown):
        np.save(folder / f"{number}.npy", image)
    return [str(folder / f"{number}.npy") for number in range(len(shown))]


def described(path: Path, facts: Any = None) -> list[str]:
    """What edgekd says keeps MediaPipe from a file."""
    graph = describe(path)
    ends = [
        [
            Tensor(name=each.name, shape=each.shape, dtype=each.dtype, role="other", meaning="",
                   scale=each.scale, zero_point=each.zero_point)
            for each in tensors
        ]
        for tensors in (graph.inputs, graph.outputs)
    ]  # fmt: skip
    told = {"file": "model.tflite", "format": "tflite", "sha256": "0" * 64, "measured_sha256": "0" * 64}
    model = Model.model_validate(
        {**told, "size_bytes": 1, "isa": "any", "inputs": ends[0], "outputs": ends[1], "minimum": (), "figures": ()}
    )
    return list(obstacles(model, (facts or image_facts()).preprocessing))


@pytest.mark.system
def test_images_have_the_golden_class(ask: Ask, image_files: dict[str, Given], tmp_path: Path) -> None:
    given = image_files["float"]
    wanted = golden(given, {"image": prepare(tiny.data().test.images[:30])})
    found = ask("images", finished(given), images(tmp_path))["answers"]
    assert [each[0][0] for each in found] == [LABELS[best] for best in wanted.argmax(1)]
    assert len({each[0][0] for each in found}) == len(LABELS)
    assert all({name for name, _ in each} == set(LABELS) for each in found)
    scores = np.array([[dict(each)[label] for label in LABELS] for each in found])
    assert np.abs(scores - wanted).max() < 0.02 * np.abs(wanted).max()  # it scales bytes in another order of operations
    assert not described(given.path)


@pytest.mark.system
def test_uint8_images_have_the_golden_class(ask: Ask, image_files: dict[str, Given], tmp_path: Path) -> None:
    """It feeds bytes as they are: right only where the file's scale is that of the bytes, which edgekd tells."""
    given = image_files["uint8"]
    wanted = golden(given, {"image": prepare(tiny.data().test.images[:30])}).argmax(1)
    found = ask("images", finished(given), images(tmp_path))["answers"]
    agree = np.mean([each[0][0] == LABELS[best] for each, best in zip(found, wanted, strict=True)])
    assert (agree == 1) or any("bytes as they are" in why for why in described(given.path))


@pytest.mark.system
def test_what_edgekd_says_is_refused_is_refused(ask: Ask, image_files: dict[str, Given], tmp_path: Path) -> None:
    shown = images(tmp_path)[:1]
    assert "got INT8" in ask("images", finished(image_files["int8"]), shown)["refused"]
    assert "the file takes int8: quantize with io = 'float'" in described(image_files["int8"].path)[0]
    given, facts = image_files["float"], image_facts(mean=(123.0, 116.0, 103.0))
    model = with_metadata(given.model, facts, given.assets)
    assert "Per-channel" in ask("images", model, shown)["refused"]
    assert "one mean and one scale" in described(given.path, facts)[0]
    assert "NormalizationOptions" in ask("images", given.model, shown)["refused"]  # without metadata


@pytest.mark.system
def test_text_vectors_are_the_golden_ones(ask: Ask, text_files: dict[str, Given]) -> None:
    given = text_files["vectors"]
    wanted = golden(given, tokens(TEXTS))
    found = np.array(ask("vectors", finished(given), TEXTS)["answers"], np.float32)
    assert np.array_equal(found, wanted)


@pytest.mark.system
def test_where_mediapipe_reads_other_tokens(ask: Ask, text_files: dict[str, Given]) -> None:
    """As docs/mediapipe.md says, with what an app can do about it."""
    given = text_files["vectors"]
    wanted = golden(given, tokens(OTHERWISE))
    found = np.array(ask("vectors", finished(given), OTHERWISE)["answers"], np.float32)
    assert (np.abs(found - wanted).max(1) > 1e-3).all()
    plain = ["".join(sign for sign in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(sign))
             .replace("\u00a0", " ") for text in OTHERWISE[:3]]  # fmt: skip
    helped = np.array(ask("vectors", finished(given), plain)["answers"], np.float32)
    assert np.array_equal(helped, wanted[:3])


@pytest.mark.system
def test_text_classes_are_the_golden_ones(ask: Ask, text_files: dict[str, Given]) -> None:
    given = text_files["classes"]
    wanted = golden(given, tokens(TEXTS))
    found = ask("classes", finished(given), TEXTS)["answers"]
    assert [each[0][0] for each in found] == [LABELS[best] for best in wanted.argmax(1)]
    scores = np.array([[dict(each)[label] for label in LABELS] for each in found], np.float32)
    assert np.array_equal(scores, wanted)


@pytest.mark.system
def test_labels_of_every_kind_arrive(ask: Ask, image_files: dict[str, Given], tmp_path: Path) -> None:
    given = image_files["float"]
    names = ("comma, comma", "emoji 🧥", "two\nlines")
    assets = {"labels.json": json.dumps(names).encode()}
    (found,) = ask("images", with_metadata(given.model, given.facts, assets), images(tmp_path)[:1])["answers"]
    assert {name for name, _ in found} == {"comma, comma", "emoji 🧥", "two\\nlines"}  # the line's end is escaped
