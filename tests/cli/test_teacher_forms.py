"""Teachers that are no torch module, and several of them: built, reported and refused by the real command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tinynet
import torch
from handmade import ids, inputs, write_onnx, write_table
from safetensors.torch import load_file, save_file
from workshop import ONNX_ONLY, Ran, Workshop, furnish

from edgekd.algorithms.confidence import probabilities
from edgekd.data.splits import split_training

TORCH = 'model = "tinynet:teacher"\nweights = "teacher.safetensors"'
PRUNE = ONNX_ONLY.index('[[stages]]\nuse = "prune"')
SHORT = (ONNX_ONLY[:PRUNE] + ONNX_ONLY[ONNX_ONLY.index('[[stages]]\nuse = "export"') :]).replace(
    "epochs = 30", "epochs = 8"
) + "\n[proof]\nshift_items = 0\n"
ONE_VIEW = SHORT.replace("views = 2", "views = 1")
BUILD = ("--device", "pixel8", "--quick", "-o", "out")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Workshop:
    """One folder for all of them, so that what doesn't depend on the teacher is made once."""
    return furnish(tmp_path_factory.mktemp("teachers"), weights)


def outputs(weights: Path, *splits: str) -> Any:
    """What the tiny teacher gives for whole splits."""
    module = tinynet.teacher()
    module.load_state_dict(load_file(weights))
    with torch.inference_mode():
        return module.eval()(torch.from_numpy(inputs(*splits))).numpy()


def build(shop: Workshop, name: str, teacher: str, text: str = SHORT) -> dict[str, Any]:
    """Build and return the report."""
    assert TORCH in text
    ran = shop.run("build", shop.pipeline(name, text.replace(TORCH, teacher)), *BUILD, "--json", "-q")
    assert ran.code in (0, 1), ran.err
    report: dict[str, Any] = json.loads(ran.out)
    return report


def refused(ran: Ran) -> str:
    assert ran.code == 2, ran.err
    (message,) = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    return message.removeprefix("error: ")


def names(report: dict[str, Any]) -> set[str]:
    return {step["name"] for step in report["steps"]}


def learned(report: dict[str, Any]) -> bool:
    start, student = (report["quality"][name]["lower"] for name in ("student_start", "student_float"))
    return bool(student > start + 0.1)


def test_a_table_of_probabilities_teaches_and_without_test_rows_no_teacher_is_scored(
    shop: Workshop, weights: Path
) -> None:
    values = probabilities(outputs(weights, "train"))
    write_table(shop.folder / "table.parquet", id=ids("train")[::-1], probabilities=values[::-1])
    report = build(shop, "table", 'outputs = "table.parquet"', ONE_VIEW)
    assert learned(report)
    assert not [name for name in names(report) if name.endswith(" teacher")]
    assert "teacher" not in report["quality"]
    assert not [row for row in report["differences"] if row["second"] == "teacher"]
    assert not [row for row in report["artifacts"] if row["kind"].startswith("teacher")]
    ran = shop.run("build", "table.toml", *BUILD, "-q")
    assert "of the teacher's" not in ran.out
    relative = shop.run("plan", "table.toml", "--device", "pixel8", "--limit", "quality>=90 % of teacher")
    assert refused(relative) == (
        "--limit: found the limit 'quality >= 90.0 % of teacher' and a teacher whose table has no outputs for the test "
        "rows, so that its quality isn't known"
    )


def test_an_onnx_file_with_a_fixed_batch_is_a_black_box_that_teaches_and_is_timed(
    shop: Workshop, weights: Path
) -> None:
    write_onnx(shop.folder / "other.onnx", weights, batch=1, softmax=True)
    qat = '[[stages]]\nuse = "qat"\nepochs = 2\nbatch_size = 30\n\n'
    export = '[[stages]]\nuse = "export"'
    report = build(shop, "onnx", 'onnx = "other.onnx"', SHORT.replace(export, qat + export))
    assert learned(report)
    _is_quantized_by_learned_ranges(report)
    labels, found = tiny.data().test.labels, outputs(weights, "test").argmax(1)
    assert report["quality"]["teacher"]["value"] == pytest.approx((found == labels).mean())
    (latency,) = [
        row for row in report["measurements"] if (row["artifact"], row["metric"]) == ("teacher_onnx", "latency")
    ]
    assert latency["provenance"] == "on_host"
    assert latency["p50"] > 0
    (row,) = [row for row in report["artifacts"] if row["kind"] == "teacher_onnx"]
    assert row["size_bytes"] == (shop.folder / "other.onnx").stat().st_size
    assert any("than the float teacher" in note for note in report["notes"])


def _is_quantized_by_learned_ranges(report: dict[str, Any]) -> None:
    assert {"student_distilled", "student_float", "onnx_int8"} <= report["quality"].keys()
    assert [(row["name"], row["chosen"]) for row in report["candidates"]] == [("learned", True)]
    (file,) = [row for row in report["artifacts"] if row["kind"] == "onnx_int8"]
    assert file["facts"]["learned"] == {"ranges": 5, "exported": 5, "tensors": 5}


def test_several_teachers_teach_the_mean_of_their_logits_by_weight(shop: Workshop, weights: Path) -> None:
    torch.manual_seed(8)
    save_file(tinynet.teacher().state_dict(), shop.folder / "second.safetensors")
    beside = TORCH.replace("teacher.safetensors", "second.safetensors")
    teachers = f"{TORCH}\nweight = 3.0\n\n[[teachers]]\n{beside}"
    report = build(shop, "several", teachers, ONE_VIEW.replace("[teacher]", "[[teachers]]"))
    assert learned(report)
    assert {"teacher_1", "teacher_2", "evaluate teacher"} <= names(report)
    first, second = (outputs(path, "train") for path in (weights, shop.folder / "second.safetensors"))
    mean = 0.75 * first + 0.25 * second
    rows = split_training(tiny.data().train.labels, 30, 3, seed=5)
    expected = np.concatenate([mean[rows.fit], mean[rows.selection]])
    cached = [np.load(path) for path in (shop.folder / "out" / ".store").glob("*/outputs.npy")]
    errors = [np.abs(each - expected).max() for each in cached if each.shape == expected.shape]
    assert min(errors) < 0.01  # float16's rounding of logits below 16


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras", "ignore::DeprecationWarning:tensorflow")
def test_a_keras_file_teaches(shop: Workshop) -> None:
    keras: Any = pytest.importorskip("keras", reason="needs the extra edgekd[tensorflow]")
    pytest.importorskip("tensorflow", reason="needs the extra edgekd[tensorflow]")
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((tiny.SIZE, tiny.SIZE, 3)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(24, 3, strides=2, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    images = inputs("train").transpose(0, 2, 3, 1)
    model.fit(images, tiny.data().train.labels, batch_size=60, epochs=25, verbose=0)
    model.save(shop.folder / "teacher.keras")
    report = build(shop, "keras", 'keras = "teacher.keras"', ONE_VIEW)
    assert learned(report)
    right = model.predict(inputs("test").transpose(0, 2, 3, 1), verbose=0).argmax(1) == tiny.data().test.labels
    assert report["quality"]["teacher"]["value"] == pytest.approx(right.mean())
    assert report["quality"]["teacher"]["value"] > 0.7


def test_a_keras_file_needs_its_extra(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['tensorflow'] = None\n")
    (shop.folder / "no.keras").write_bytes(b"")
    path = shop.pipeline("extra", ONE_VIEW.replace(TORCH, 'keras = "no.keras"'))
    ran = shop.run("plan", path, "--device", "pixel8", PYTHONPATH=str(tmp_path))
    assert refused(ran) == "edgekd build needs the package 'tensorflow', which is not installed"
    assert "pip install 'edgekd[tensorflow]'" in ran.err


ALL = ids("train")
VALUES = np.arange(3.0 * len(ALL)).reshape(-1, 3)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ALL[:-3], "output": VALUES[:-3]}, "found no output for 3 of 240 train rows, for example 'train/237'"),
        (
            {"id": [ALL[1], *ALL[1:]], "output": VALUES},
            "found 1 rows whose id an earlier row has, the first 'train/1'",
        ),
        (
            {"name": ALL, "output": VALUES},
            "found name (string), output (list<element: double>), expected a column",
        ),
        ({}, "found a file that can't be read as Parquet: "),
    ],
    ids=["missing", "repeated", "unnamed", "damaged"],
)
def test_a_table_that_does_not_fit_is_refused_by_the_plan(
    columns: dict[str, Any], message: str, shop: Workshop
) -> None:
    path = shop.folder / "bad.parquet"
    if columns:
        write_table(path, **columns)
    else:
        path.write_bytes(b"PAR1 nothing that follows")
    pipeline = shop.pipeline("bad", ONE_VIEW.replace(TORCH, 'outputs = "bad.parquet"'))
    assert refused(shop.run("plan", pipeline, "--device", "pixel8")).startswith(f"bad.parquet: {message}")


def test_a_table_has_no_views(shop: Workshop) -> None:
    write_table(shop.folder / "whole.parquet", id=ALL, output=VALUES)
    path = shop.pipeline("views", SHORT.replace(TORCH, 'outputs = "whole.parquet"'))
    assert refused(shop.run("plan", path, "--device", "pixel8")) == (
        "views.toml: found [augment] views = 2 and a teacher given as outputs = '…', expected views = 1: "
        "its table has one output for a row"
    )


def wide_onnx(folder: Path) -> None:
    save_file(tinynet.teacher(classes=4).state_dict(), folder / "four.safetensors")
    write_onnx(folder / "bad.onnx", folder / "four.safetensors")


def damaged_onnx(folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(
        write_onnx(folder / "whole.onnx", folder / "teacher.safetensors").read_bytes()[:-99]
    )


def other_size(folder: Path) -> None:
    import onnx

    model = onnx.load(write_onnx(folder / "whole.onnx", folder / "teacher.safetensors"))
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 16
    onnx.save(model, folder / "bad.onnx")


def wide_table(folder: Path) -> None:
    write_table(folder / "bad.parquet", id=ALL, output=np.ones((len(ALL), 5)))


def spoilt_table(folder: Path) -> None:
    write_table(folder / "bad.parquet", id=ALL, output=np.where(VALUES == 30, np.nan, VALUES))


def unsaid_probabilities(folder: Path) -> None:
    write_table(folder / "bad.parquet", id=ALL, output=np.full((len(ALL), 3), [0.5, 0.25, 0.25]))


CLASSES = "expected (1, 3): data set 'tiny bars' has 3 classes"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (wide_onnx, f"the teacher gives outputs of shape (1, 4) for one image, {CLASSES}"),
        (damaged_onnx, "[teacher] onnx: bad.onnx: onnxruntime can't load it: "),
        (other_size, "the teacher can't take an input of shape (1, 3, 12, 12): "),
        (wide_table, f"the teacher gives outputs of shape (1, 5) for one image, {CLASSES}"),
        (spoilt_table, "bad.parquet: found missing, NaN or infinite values in 1 rows, for example 'train/10'"),
        (unsaid_probabilities, "bad.parquet: found probabilities in the column 'output', expected logits"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything_is_trained(
    make: Any, message: str, workshop: Workshop
) -> None:
    make(workshop.folder)
    (file,) = workshop.folder.glob("bad.*")
    form = "onnx" if file.suffix == ".onnx" else "outputs"
    path = workshop.pipeline("tiny", ONE_VIEW.replace(TORCH, f'{form} = "{file.name}"'))
    ran = workshop.run("build", path, *BUILD)
    assert refused(ran).startswith(message)
    assert ran.out == ""
    assert not (workshop.folder / "out" / "tiny").exists()
