"""INT8 files on an emulated Arm processor: the real wheels on a real emulator, and what is refused without one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adders import write_onnx
from workshop import Built

from edgekd import device
from edgekd.bundle import archive, golden
from edgekd.bundle.golden import GoldenIndex
from edgekd.bundle.inputs import DRAFT, HANDED
from edgekd.bundle.manifest import Manifest, read
from edgekd.bundle.verifying import Asked, verify
from edgekd.cli import run
from edgekd.errors import BadInputError, StageError
from edgekd.targets import arm64, arm64_tools
from edgekd.targets.arm64_cores import CPUS, check_emulated, cpu_of


@pytest.fixture(scope="module")
def bundle(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny student's INT8 files with their golden vectors."""
    folder = tmp_path_factory.mktemp("a bundle")
    for place, content in archive.unpacked(built.workshop.folder / built.run_folder / HANDED).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> Manifest:
    return read(bundle / DRAFT)


@pytest.mark.system
@pytest.mark.parametrize("cpu", CPUS.values())
def test_both_runtimes_give_the_golden_outputs_on_each_core(cpu: str, bundle: Path, manifest: Manifest) -> None:
    outcomes = arm64.compare(bundle, manifest, cpu, arm64_tools.ready())
    assert [each.file for each in outcomes] == ["model.onnx", "model.tflite"]
    for each in outcomes:
        assert each.found.vectors == each.same_top1 == 16
        assert each.found.misses == ()
        assert each.within.isa == "arm64"
        assert each.found.max_abs <= each.within.max_abs


@pytest.mark.system
def test_verify_runs_it_too(built: Built) -> None:
    folder = built.workshop.folder / built.run_folder / "bundle"
    found = {check.name: check for check in verify(folder, Asked(cpu="cortex-a72")).checks}
    for name in ("model.onnx", "model.tflite"):
        check = found[f"{name} on cortex-a72, emulated"]
        assert check.state == "pass"
        assert check.text.startswith("16 vectors, ")


@pytest.mark.system
def test_a_build_reports_it_as_emulated(built: Built) -> None:
    ran = built.again("--parity", "arm64", "--json")
    report: dict[str, Any] = json.loads(ran.out)
    assert ran.code == report["exit_code"]
    rows = [row for row in report["parity"] if row["provenance"] == "emulated"]
    assert [(row["first"], row["second"], row["metric"], row["verdict"]) for row in rows] == [
        (f"{name} on x86_64", name, "max_abs", "pass") for name in ("onnx_int8", "tflite_int8")
    ]
    checks = [row for row in report["checks"] if row["metric"] == "parity_arm64_max_abs"]
    assert {(row["artifact"], row["provenance"], row["origin"]) for row in checks} == {
        (name, "emulated", "--parity arm64") for name in ("onnx_int8", "tflite_int8")
    }
    assert {row["samples"] for row in checks} == {16}
    rows = [row for row in report["measurements"] if row["provenance"] == "emulated"]
    emulated = {(row["artifact"], row["metric"]): row for row in rows}
    assert {metric for _, metric in emulated} == {"peak_memory", "instructions"}, "no time is taken there"
    for name in ("onnx_int8", "tflite_int8"):
        memory = emulated[name, "peak_memory"]
        said = memory["conditions"]
        assert int(said["base_memory_bytes"]) < int(said["load_peak_bytes"]) <= memory["p50"]
        assert said["includes"].startswith("qemu itself")
        assert "has no plugins" in emulated[name, "instructions"]["unavailable"]


@pytest.mark.system
def test_any_file_can_be_profiled_on_the_emulated_core(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(write_onnx(tmp_path / "m.onnx", batch=1))
    assert run(["profile", model, "--device", "raspberrypi5", "--emulated", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (memory,) = [row for row in shown["measurements"] if row["provenance"] == "emulated" and not row["unavailable"]]
    assert memory["metric"] == "peak_memory"
    assert memory["p50"] > int(memory["conditions"]["base_memory_bytes"]) > 10e6
    assert memory["conditions"]["cpu"] == "cortex-a76, emulated"


def test_only_arm_devices_are_emulated_for_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(write_onnx(tmp_path / "m.onnx", batch=1))
    assert run(["profile", model, "--device", "host", "--quick", "--emulated"]) == 2
    assert "found a device of arch 'this' with --emulated, expected 'arm64'" in capsys.readouterr().err


@pytest.mark.system
def test_without_a_network_the_build_ends_before_any_work_and_says_what_to_do(built: Built, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"  # the discard port: nothing answers there
    ran = built.workshop.run(
        *("build", "tiny.toml", "--device", "pixel8", "--parity", "arm64", "-o", str(tmp_path / "out")),
        http_proxy=nobody,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    assert ran.code == 3
    assert "error: --parity arm64: qemu and an Arm Python can't be fetched from Debian: E:" in ran.err
    assert (
        f"hint: this needs a network once, about 150 MB; afterwards it lies in {tmp_path}/cache/edgekd/arm64" in ran.err
    )
    assert not (tmp_path / "out").exists()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_dir() and path.name.startswith(".partial")]


@pytest.mark.system
def test_a_file_that_a_runtime_cannot_load_ends_with_its_reason(
    bundle: Path, manifest: Manifest, tmp_path: Path
) -> None:
    broken = shutil.copytree(bundle, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"no model")
    only = manifest.model_copy(update={"models": manifest.models[:1]})
    with pytest.raises(StageError, match=r"arm64 \(cortex-a72, qemu \d+\..*\): it can't load the file"):
        arm64.compare(broken, only, "cortex-a72", arm64_tools.ready())


def test_an_output_that_is_too_far_off_is_named_with_its_vector(bundle: Path, manifest: Manifest) -> None:
    index = GoldenIndex.model_validate_json((bundle / manifest.golden.index).read_bytes())
    model = manifest.models[1]
    expected = [
        {each.name: golden.load(bundle, each) for each in item.models[model.file].outputs} for item in index.items
    ]
    same = arm64.outcome(bundle, model, index, expected)
    assert (same.found.max_abs, same.found.misses, same.same_top1) == (0.0, (), len(index.items))
    off = [{name: values.copy() for name, values in each.items()} for each in expected]
    (name,) = off[3]
    off[3][name].flat[int(np.argmin(off[3][name]))] += 1000 * same.within.max_abs
    found = arm64.outcome(bundle, model, index, off)
    assert found.same_top1 == len(index.items) - 1
    assert len(found.found.misses) == 2
    assert all(miss.startswith(f"vector 3, output {name!r}: ") for miss in found.found.misses)


@pytest.mark.parametrize(
    ("name", "cpu"), [("raspberrypi4", "cortex-a72"), ("raspberrypi5", "cortex-a76"), ("pixel8", "max")]
)
def test_the_core_has_the_devices_integer_instructions(name: str, cpu: str) -> None:
    assert cpu_of(device.load(name)) == cpu


def test_a_device_that_is_no_arm_is_refused() -> None:
    host = device.load("host")
    with pytest.raises(BadInputError, match="found a device of arch 'this' with --parity arm64, expected 'arm64'"):
        check_emulated(host, "--parity arm64")
    check_emulated(device.load("pixel8"), "--parity arm64")


@pytest.mark.parametrize(
    ("said", "found"),
    [("qemu-aarch64 version 7.2.17 (Debian 1:7.2+dfsg-7+deb12u16)", "7.2.17"), ("hello", "hello"), ("", "nothing")],
)
def test_an_old_emulator_is_refused(said: str, found: str, tmp_path: Path) -> None:
    program = tmp_path / "qemu-aarch64"
    program.write_text(f"#!/bin/sh\necho '{said}'\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(StageError) as caught:
        arm64_tools.qemu_version(program)
    assert f"found version {found}, expected at least 10: older ones compute int8 wrongly" in caught.value.message
    assert "remove" in caught.value.hint


def test_what_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StageError, match="found no apt and no dpkg") as caught:
        arm64_tools.ready()
    assert caught.value.hint.startswith("on Debian or Ubuntu: apt-get install apt dpkg")
    assert not [path for path in (tmp_path / "edgekd" / "arm64").iterdir() if path.is_dir()]


def test_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(StageError, match="found Linux aarch64, expected Linux x86_64"):
        arm64_tools.ready()
