"""What a bundle is made of, piece by piece: labels, rows, tolerances, checksums, keys, odd names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from workshop import Built

from edgekd.bundle import archive, labels, licences, writing
from edgekd.bundle.draft import Asked, Draft
from edgekd.bundle.golden_rows import golden_rows
from edgekd.bundle.inputs import BundleInputs, read
from edgekd.bundle.parts import PARTS
from edgekd.errors import BadInputError
from edgekd.pipeline import Pipeline
from edgekd.pipeline import load as load_pipeline
from edgekd.tasks.image_classification import ImageClassification

ODD = ["a, b", 'say "x"', "🚗 emoji", "two\nlines", " spaces ", "", "tab\there", "é\u2028é"]


@pytest.fixture(scope="module")
def inputs(built: Built) -> BundleInputs:
    return read(built.workshop.folder / built.run_folder)


@pytest.mark.parametrize("given", [ODD, ["a", "b"], [f"class {n}, 100 %" for n in range(10_000)]])
def test_labels_survive(given: list[str]) -> None:
    made = labels.files(given)
    assert json.loads(made[labels.JSON]) == given
    if labels.LINES in made:
        assert made[labels.LINES].decode().splitlines() == given


@pytest.mark.parametrize("label", ODD[3:6] + ODD[7:])
def test_labels_that_lines_cannot_hold_have_no_text_file(label: str) -> None:
    assert labels.files(["plain", label]).keys() == {labels.JSON}


def test_odd_labels_reach_the_golden_vectors(built: Built, tmp_path: Path) -> None:
    odd = replace(tiny.data(), classes=tuple(ODD[:3]))
    asked = Asked("n", "d", "image-classification", "arm64", 16, (), "this host", resized=False, temperatures={})
    made = Draft(ImageClassification(odd, 30), asked, seed=5, scratch=tmp_path).files(
        {"model.onnx": built.workshop.folder / built.run_folder / "model.onnx"}
    )
    items = json.loads(made["golden/golden.json"])["items"]
    assert json.loads(made["labels.json"]) == ODD[:3]
    assert {item["label"] for item in items} == set(ODD[:3])


def test_rows_are_spread_over_the_labels_and_the_same_for_a_seed() -> None:
    given = np.array([0] * 90 + [1] * 8 + [2] * 2)
    rows = golden_rows(100, given, 16, seed=3)
    assert rows == golden_rows(100, given, 16, seed=3) != golden_rows(100, given, 16, seed=4)
    assert np.bincount(given[rows]).tolist() == [7, 7, 2]
    assert golden_rows(5, None, 16, seed=3) == [0, 1, 2, 3, 4]


def test_a_zip_is_the_same_whatever_the_order_and_the_day() -> None:
    packed = archive.packed({"b/c.bin": b"\0" * 100, "a": b""})
    assert packed == archive.packed({"a": b"", "b/c.bin": b"\0" * 100})


def test_two_parts_never_write_the_same_place(inputs: BundleInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "greedy", lambda _: {"manifest.json": b""})
    with pytest.raises(ValueError, match=r"'greedy' writes manifest\.json"):
        writing.content(inputs)


@pytest.mark.parametrize("place", ["../out", "/etc/passwd", "a//b", "", "näme", ".hidden"])
def test_a_part_writes_inside_the_bundle(inputs: BundleInputs, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setitem(PARTS, "stray", lambda _: {place: b""})
    with pytest.raises(ValueError, match="should match pattern"):
        writing.content(inputs)


def test_a_report_page_is_taken_along(inputs: BundleInputs) -> None:
    page = replace(inputs, run_files={**inputs.run_files, "report.html": b"<html>"})
    assert writing.content(page)["report.html"] == b"<html>"


def test_a_name_cannot_break_the_cards_tables(inputs: BundleInputs) -> None:
    strange = inputs.manifest.licences[0].model_copy(update={"name": "a | b\n<script>"})
    changed = inputs.manifest.model_copy(update={"licences": (strange,)})
    card = writing.content(replace(inputs, manifest=changed))["MODEL_CARD.md"].decode()
    assert "| teacher | a \\| b &lt;script> |" in card


def test_what_made_the_run_names_files_versions_and_steps_but_no_folder(inputs: BundleInputs, built: Built) -> None:
    made = inputs.making
    assert made.pipeline.name == "tiny.toml"
    assert made.pipeline.text == (built.workshop.folder / "tiny.toml").read_text()
    assert made.device.name == "pixel8.toml"
    assert {"numpy", "onnxruntime"} <= {each.name for each in made.packages}
    assert {"teacher", "onnx_int8", "golden"} <= {each.name for each in made.steps}
    assert {(each.step, each.what) for each in made.materials} >= {("teacher", "weights"), ("teacher", "code")}
    assert str(built.workshop.folder) not in made.model_dump_json()


def pipeline_with(built: Built, data: str = "", teacher: str = "") -> Pipeline:
    text = (built.workshop.folder / "tiny.toml").read_text()
    text = text.replace('use = "tiny:data"\n', f'use = "tiny:data"\n{data}\n')
    path = built.workshop.folder / "licensed.toml"
    path.write_text(text.replace('model = "tinynet:teacher"\n', f'model = "tinynet:teacher"\n{teacher}\n'))
    return load_pipeline(str(path))


def test_licences_are_told_by_the_pipeline_else_unknown(built: Built) -> None:
    silent = {each.part: each.terms for each in licences.told(pipeline_with(built))}
    assert silent == {"teacher": licences.UNKNOWN, "data": licences.UNKNOWN, "code": "Apache-2.0"}
    told = licences.told(pipeline_with(built, 'licence = "CC0-1.0"', 'licence = "MIT"'))
    assert {each.part: each.terms for each in told} == {"teacher": "MIT", "data": "CC0-1.0", "code": "Apache-2.0"}


def test_what_comes_with_edgekd_has_its_terms_and_their_text() -> None:
    told = licences.told(load_pipeline("default"))
    texts = licences.files(told)
    assert {each.part: each.terms for each in told} == {"teacher": "Apache-2.0", "data": "MIT", "code": "Apache-2.0"}
    assert b"Zalando SE" in texts["LICENCES/data.txt"]
    assert b"Apache License" in texts["LICENCES/code.txt"]
    assert b"train_teacher.py" in texts["LICENCES/teacher.txt"]


def test_a_licence_of_the_data_that_the_data_says_itself() -> None:
    told = licences.told(load_pipeline("default"))
    nobody = tuple(each.model_copy(update={"terms": licences.UNKNOWN}) for each in told)
    assert [each.terms for each in licences.completed(nobody, "CC0-1.0")] == [
        licences.UNKNOWN,
        "CC0-1.0",
        licences.UNKNOWN,
    ]
    assert licences.completed(told, "CC0-1.0") == told


def test_a_place_that_cannot_be_written_is_said(built: Built, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="found a place that can't be written"):
        writing.write(built.workshop.folder / built.run_folder, tmp_path / "file" / "below")
