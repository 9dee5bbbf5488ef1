"""What the metadata inside the model files say is held against the manifest."""

from __future__ import annotations

import json

import pytest
from workshop import Built

from edgekd.bundle import facts, manifest, onnx_metadata, said, tflite_metadata, unpacking
from edgekd.bundle.manifest import ImagePreprocessing, Manifest

FINISH = {"model.onnx": onnx_metadata.with_metadata, "model.tflite": tflite_metadata.with_metadata}


@pytest.fixture(scope="module")
def files(built: Built) -> dict[str, bytes]:
    return dict(unpacking.read_folder(built.workshop.folder / built.run_folder / "bundle"))


@pytest.fixture
def told(files: dict[str, bytes]) -> Manifest:
    return manifest.parse(files["manifest.json"].decode(), "manifest.json")


def differences(files: dict[str, bytes], told: Manifest) -> dict[str, str]:
    return {model.file: " ".join(said.differences(files, model, told)) for model in told.models}


def test_a_bundle_as_it_was_made_has_none(files: dict[str, bytes], told: Manifest) -> None:
    assert differences(files, told) == {"model.onnx": "", "model.tflite": ""}


def test_another_mean_is_found(files: dict[str, bytes], told: Manifest) -> None:
    assert isinstance(told.preprocessing, ImagePreprocessing)
    image = told.preprocessing.model_copy(update={"mean": (120.0, 127.5, 127.5)})
    found = differences(files, told.model_copy(update={"preprocessing": image}))
    assert "found preprocessing" in found["model.onnx"]
    assert "found mean (127.5,), the manifest has (120.0, 127.5, 127.5)" in found["model.tflite"]


def test_other_labels_are_found(files: dict[str, bytes], told: Manifest) -> None:
    names = json.loads(files["labels.json"])
    found = differences(files | {"labels.json": json.dumps(names[::-1]).encode()}, told)
    assert all(f"found other labels ({len(names)})" in line for line in found.values())


def test_a_file_made_for_another_device_is_found(files: dict[str, bytes], told: Manifest) -> None:
    other = told.model_copy(update={"device": "pixel6"})
    made = {name: finish(files[name], facts.of(other, name), files) for name, finish in FINISH.items()}
    found = differences(files | made, told)
    assert all("found description" in line and "made for pixel6" in line for line in found.values())


def test_damaged_metadata_are_told(files: dict[str, bytes], told: Manifest) -> None:
    broken = files["model.tflite"].replace(b"M001", b"M002", 1)
    found = differences(files | {"model.tflite": broken}, told)
    assert "metadata that can't be read" in found["model.tflite"]
