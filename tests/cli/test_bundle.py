"""The bundle that a build writes, and edgekd bundle: what is in it, the same bytes again, and what is never lost."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image
from workshop import Built, Ran

from edgekd import cli
from edgekd.bundle import golden, manifest
from edgekd.bundle.golden import GoldenIndex
from edgekd.bundle.manifest import Manifest
from edgekd.runtimes import for_file
from edgekd.tasks.image_classification import prepare

FILES = {
    *("LICENCES/code.txt", "MODEL_CARD.md", "SHA256SUMS", "golden/golden.json", "labels.json", "labels.txt"),
    *("manifest.json", "model.onnx", "model.tflite", "report.json", "schema/manifest.schema.json"),
}
ITEMS = 16
Again = Callable[..., Ran]


@pytest.fixture(scope="module")
def run(built: Built) -> Path:
    return built.workshop.folder / built.run_folder


@pytest.fixture(scope="module")
def bundle(run: Path) -> Path:
    return run / "bundle"


@pytest.fixture(scope="module")
def told(bundle: Path) -> Manifest:
    return manifest.read(bundle / "manifest.json")


@pytest.fixture(scope="module")
def index(bundle: Path) -> GoldenIndex:
    return GoldenIndex.model_validate_json((bundle / golden.INDEX).read_bytes())


@pytest.fixture
def again(capsys: pytest.CaptureFixture[str]) -> Again:
    """The command line in this process: starting one costs a second."""

    def command(run: Path, *arguments: str) -> Ran:
        code = cli.run(["bundle", str(run), *arguments])
        return Ran(code, *capsys.readouterr())

    return command


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_that_an_app_needs_is_there(bundle: Path, told: Manifest) -> None:
    found = contents(bundle)
    apart = {name for name in found if not name.startswith(("golden/raw/", "golden/tensors/"))}
    assert apart >= FILES
    assert len([name for name in found if name.startswith("golden/raw/")]) == told.golden.count == ITEMS


def test_nothing_but_the_report_tells_in_which_folder_it_was_made(bundle: Path, built: Built) -> None:
    found = contents(bundle)
    assert "report.json" in found
    folder = str(built.workshop.folder).encode()
    assert [name for name, content in found.items() if folder in content and name != "report.json"] == []


def test_the_checksums_are_sorted_and_name_every_other_file(bundle: Path) -> None:
    found = contents(bundle)
    lines = found.pop("SHA256SUMS").decode().splitlines()
    assert lines == [f"{hashlib.sha256(found[name]).hexdigest()}  {name}" for name in sorted(found)]


def test_the_zip_holds_the_same_files(bundle: Path) -> None:
    with zipfile.ZipFile(bundle.with_name("bundle.zip")) as file:
        assert {name: file.read(name) for name in file.namelist()} == contents(bundle)
        assert file.namelist() == sorted(file.namelist())
        assert {(entry.date_time, entry.external_attr >> 16) for entry in file.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), 0o100644)
        }


def test_the_manifest_follows_the_schema_that_lies_beside_it(bundle: Path) -> None:
    schema = json.loads((bundle / "schema/manifest.schema.json").read_text())
    assert schema == manifest.schema()
    found = json.loads((bundle / "manifest.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(found)
    with pytest.raises(jsonschema.ValidationError, match="'models' is a required property"):
        jsonschema.Draft202012Validator(schema).validate({key: found[key] for key in found if key != "models"})


def test_the_manifest_tells_what_the_files_are(bundle: Path, told: Manifest, built: Built) -> None:
    assert (told.name, told.device, told.task, told.verdict) == ("tiny", "pixel8", "image-classification", "pass")
    rows = {row["path"]: row for row in built.report["artifacts"]}
    for model in told.models:
        content = (bundle / model.file).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (model.sha256, model.size_bytes)
        assert model.measured_sha256 == rows[model.file]["sha256"]
        assert model.isa == "arm64"
        assert model.minimum
        assert [(tensor.role, tensor.dtype) for tensor in (*model.inputs, *model.outputs)] == [
            ("image", "float32"),
            ("logits", "float32"),
        ]


def test_figures_are_the_reports_with_where_they_come_from(told: Manifest, built: Built) -> None:
    for model in told.models:
        artifact = f"{model.format}_int8"
        figures = {(each.metric, each.provenance): each for each in model.figures}
        quality, row = figures["quality", "on_host"], built.report["quality"][artifact]
        assert (quality.point, quality.lower, quality.upper) == (row["value"], row["lower"], row["upper"])
        latency = measured(built, artifact, "latency", "predicted")["intervals"]
        for name in ("p50", "p95"):
            found = figures[f"latency_{name}", "predicted"]
            assert [found.point, found.lower, found.upper] == [
                latency[name][key] for key in ("point", "lower", "upper")
            ]
        assert figures["latency_p95", "on_host"].point == measured(built, artifact, "latency", "on_host")["p95"]
        for metric in ("peak_memory", "energy"):
            here = figures[metric, "on_host"]
            assert (here.point is None) == bool(here.unavailable)


def measured(built: Built, artifact: str, metric: str, provenance: str) -> dict[str, Any]:
    key = (artifact, metric, provenance)
    (row,) = [row for row in built.report["measurements"] if (row["artifact"], row["metric"], row["provenance"]) == key]
    return dict(row)


def test_a_golden_image_becomes_its_tensor_by_what_the_manifest_says(
    bundle: Path, told: Manifest, index: GoldenIndex
) -> None:
    facts = told.preprocessing
    assert isinstance(facts, manifest.ImagePreprocessing)
    assert facts.colour == "grey-as-rgb"
    for item in index.items:
        image = np.asarray(Image.open(bundle / str(item.raw)).convert("RGB"), np.float32)
        assert image.shape == (facts.height, facts.width, 3)
        prepared = (image - facts.mean) / facts.scale
        for name, layout in facts.layouts.items():
            tensor = golden.load(bundle, item.models[name].inputs[0])[0]
            assert np.allclose(tensor, prepared.transpose(2, 0, 1) if layout == "NCHW" else prepared, atol=1e-6)
        assert np.array_equal(prepare(image[None])[0], golden.load(bundle, item.models["model.onnx"].inputs[0])[0])


def test_golden_outputs_are_what_the_shipped_files_give(bundle: Path, index: GoldenIndex) -> None:
    labels = json.loads((bundle / "labels.json").read_text())
    for name in ("model.onnx", "model.tflite"):
        runner = for_file(bundle / name).Runner(bundle / name, 1)
        right = 0
        for item in index.items:
            fed = {each.name: golden.load(bundle, each) for each in item.models[name].inputs}
            given = runner.outputs(fed)
            for each in item.models[name].outputs:
                assert np.array_equal(given[each.name], golden.load(bundle, each))
            right += labels[int(golden.load(bundle, item.models[name].outputs[0]).argmax())] == item.label
        assert right >= ITEMS - 1, "the tiny student is right on nearly all"


def test_golden_items_are_spread_over_the_classes(index: GoldenIndex) -> None:
    counts = [sum(item.label == name for item in index.items) for name in ("row", "column", "diagonal")]
    assert sorted(counts) == [5, 5, 6]


def test_each_instruction_set_has_a_tolerance_and_a_reason(index: GoldenIndex) -> None:
    for limits in index.tolerances.values():
        by_isa = {each.isa: each for each in limits}
        assert by_isa.keys() == {"x86_64", "arm64", "wasm", "any"}
        assert by_isa["arm64"].max_abs == 2 * by_isa["x86_64"].max_abs
        assert all(re.match(r"[12] output steps? of 0\.\d+: ", each.because) for each in limits)
        assert all(each.top1 for each in limits)


def test_the_card_has_quality_with_intervals_and_the_budget(bundle: Path, built: Built) -> None:
    text = (bundle / "MODEL_CARD.md").read_text()
    titles = ["Intended use", "Files", "Data", "Quality", "Calibration", "Budget", "Limits", "Licences"]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == titles
    row = built.report["quality"]["onnx_int8"]
    interval = f"{row['lower']:.2%} to {row['upper']:.2%}"
    assert f"| onnx_int8 | {row['value']:.2%} | {interval} | 60 |" in text
    assert all(f"| {check['limit']} |" in text for check in built.report["checks"])


def test_a_run_is_bundled_again_into_the_same_bytes(
    again: Again, built: Built, run: Path, bundle: Path, tmp_path: Path
) -> None:
    target = tmp_path / "a folder with spaces"
    started = built.workshop.run("bundle", str(built.run_folder), "-o", str(target))
    assert started.code == 0, started.err
    assert started.out.splitlines() == [str(target / "bundle"), str(target / "bundle.zip")]
    assert (target / "bundle.zip").read_bytes() == bundle.with_name("bundle.zip").read_bytes()
    assert contents(target / "bundle") == contents(bundle)
    assert again(run, "-o", str(target)).code == 0, "the same bundle is there already"


def test_another_bundle_is_overwritten_by_force_alone(again: Again, run: Path, bundle: Path, tmp_path: Path) -> None:
    assert again(run, "-o", str(tmp_path)).code == 0
    card = tmp_path / "bundle" / "MODEL_CARD.md"
    card.write_text("another one\n")
    (tmp_path / "bundle" / "notes.txt").write_text("of somebody")
    ran = again(run, "-o", str(tmp_path))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        f"error: {tmp_path / 'bundle'}: found another bundle there, which is not overwritten",
        "hint: choose another folder with -o DIR, or overwrite it with --force",
    ]
    assert card.read_text() == "another one\n"
    assert again(run, "-o", str(tmp_path), "--force").code == 0
    assert contents(tmp_path / "bundle") == contents(bundle)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "bundle.zip"]


@pytest.mark.parametrize("step", ["zip", "folder"])
def test_a_full_disk_leaves_the_bundle_that_was_there_and_nothing_half(
    step: str, again: Again, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails where the zip, or the folder, would be put in place of another one."""
    assert again(run, "-o", str(tmp_path)).code == 0
    (tmp_path / "bundle.zip").write_bytes(b"another")
    (tmp_path / "bundle/labels.json").write_bytes(b"another")
    rename = Path.rename

    def full(source: Path, target: Path) -> Path:
        if Path(target).name == f"bundle{'.zip' if step == 'zip' else ''}" and not str(source).endswith("-old"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(Path(source), target)

    monkeypatch.setattr("edgekd.bundle.writing.os.replace", full)
    monkeypatch.setattr(Path, "rename", full)
    ran = again(run, "-o", str(tmp_path), "--force")
    assert (ran.code, ran.err.splitlines()[0]) == (3, f"error: {tmp_path}: the disk is full")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "bundle.zip"]
    assert (tmp_path / "bundle.zip").read_bytes() == b"another"
    assert ((tmp_path / "bundle/labels.json").read_bytes() == b"another") == (step == "folder")


def test_another_zip_is_kept_too(again: Again, run: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(b"another one")
    ran = again(run, "-o", str(tmp_path))
    assert ran.code == 2
    assert f"{tmp_path / 'bundle.zip'}: found another bundle there" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.zip"]


@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_what_is_no_bundle_is_not_overwritten_even_by_force(again: Again, run: Path, tmp_path: Path, what: str) -> None:
    place = tmp_path / "out" / "bundle"
    place.parent.mkdir()
    if what == "folder":
        place.mkdir()
        (place / "thesis.txt").write_text("years of work")
    elif what == "file":
        place.write_text("years of work")
    else:
        place.symlink_to(tmp_path, target_is_directory=True)
    ran = again(run, "-o", str(tmp_path / "out"), "--force")
    assert ran.code == 2
    assert "found something there that is no bundle" in ran.err
    assert [path.name for path in place.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize("missing", ["report.json", "made/golden.zip", "made/making.json"])
def test_a_run_that_lacks_something_is_refused_with_what(again: Again, run: Path, tmp_path: Path, missing: str) -> None:
    copy = tmp_path / "run"
    for name in ("report.json", "made/golden.zip", "made/making.json"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run / name, copy / name)
    (copy / missing).write_bytes(b"PK damaged")
    damaged = again(copy)
    (copy / missing).unlink()
    gone = again(copy)
    assert (damaged.code, gone.code) == (2, 2)
    assert damaged.err.startswith(f"error: {copy}: found no finished run with all that a bundle is made of (")
    assert f"({copy / missing})" in gone.err
    assert "as `edgekd build` writes it" in gone.err
    assert not (copy / "bundle").exists()


def test_a_failed_verdict_is_bundled_and_said(built: Built) -> None:
    ran = built.again("--limit", "size<=1kB")
    assert ran.code == 1
    folder = built.workshop.folder / Path(ran.out.splitlines()[-1]).parent / "bundle"
    found = manifest.read(folder / "manifest.json")
    assert found.verdict == "fail"
    assert "Verdict against the budget: **fail**." in (folder / "MODEL_CARD.md").read_text()
