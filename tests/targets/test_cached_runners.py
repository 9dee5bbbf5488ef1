"""The cache of runners: what lies there runs files where [reach] names no runner, or is refused with the reason."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from adders import write_tflite
from boards import SHORT, build_runner, by_metric, install, standin, subject, way_by, write_device
from boards import session as board

from edgekd import targets
from edgekd.cli import run
from edgekd.errors import EXIT_OK, EXIT_USAGE, BadInputError
from edgekd.targets import cached_runners

MACHINE = platform.machine()
AARCH64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xb7\0"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for machines like this one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("edgekd.targets.runners.BUILT", Path("nonexistent"))
    folder = tmp_path / "cache" / "edgekd" / "runners" / MACHINE
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there it's"
    folder.mkdir()
    return folder


def tflite(tmp_path: Path) -> targets.Subject:
    np.savez(tmp_path / "inputs.npz", x=np.ones((1, 4), np.float32))
    return targets.Subject("mine", write_tflite(tmp_path / "m.tflite"), "tflite", tmp_path / "inputs.npz")


def test_each_format_is_run_by_its_own_benchmark_in_turns(tmp_path: Path, cache: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    standin(cache / "benchmark_model", "benchmark_model")
    (cache / "onnxruntime_perf_test").mkdir()
    standin(cache / "onnxruntime_perf_test" / "any name", "onnxruntime_perf_test")
    with board(tmp_path, python="no-python") as opened:
        first, onnx, again = (
            by_metric(opened.measure(each, SHORT)) for each in (tflite(tmp_path), subject(tmp_path), tflite(tmp_path))
        )
        identity = opened.identity
    assert all(each["mean_latency"].values for each in (first, again))
    assert len(onnx["latency"].values) >= SHORT.min_runs
    conditions = onnx["latency"].conditions
    assert conditions["runner_from"] == f"the cache of runners: {MACHINE}/onnxruntime_perf_test"
    assert conditions["runner"] == f"onnxruntime_perf_test of the user's, {conditions['runner_digest']}"
    assert f"runner of onnxruntime: {conditions['runner_digest']}" in identity
    assert f"runner of tflite: {first['mean_latency'].conditions['runner_digest']}" in identity


def test_the_devices_own_python_goes_before_the_cache(tmp_path: Path, cache: Path) -> None:
    (cache / "onnxruntime_perf_test").write_bytes(AARCH64)  # not even looked at
    with board(tmp_path) as opened:
        found = by_metric(opened.measure(subject(tmp_path), SHORT))
        assert "runner of" not in opened.identity
    assert found["latency"].conditions["runner"].startswith("Python (")


def test_an_accelerator_is_asked_of_the_cache_through_the_command_line(
    tmp_path: Path, there: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ai_edge_litert")
    standin(cache / "benchmark_model", "benchmark_model")
    one = write_device(tmp_path / "device.toml", target="host", folder=str(there))
    command = ["profile", str(tflite(tmp_path).path), "--device", str(one.path), "--quick", "--json"]
    assert run([*command, "--accelerator", "xnnpack"]) == EXIT_OK
    conditions = json.loads(capsys.readouterr().out)["measurements"][0]["conditions"]
    assert conditions["runner_from"] == f"the cache of runners: {MACHINE}/benchmark_model"
    assert conditions["accelerator"] == "xnnpack"
    assert run(["profile", str(subject(tmp_path).path), *command[2:], "--accelerator", "xnnpack"]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert f"expected onnxruntime_perf_test in {cache} or as runner" in said
    assert "runtimes = ['tflite'] in the device file" in said
    assert list(there.iterdir()) == []


def test_an_accelerator_without_any_runner_names_the_folder(tmp_path: Path, there: Path, cache: Path) -> None:
    one = write_device(tmp_path / "device.toml", target="host", folder=str(there), accelerator="gpu")
    with pytest.raises(BadInputError) as caught:
        targets.measuring(one)
    assert "the accelerator 'gpu' in [reach] without a runner" in caught.value.message
    assert str(cache) in caught.value.message
    assert list(there.iterdir()) == []


def test_one_for_another_processor_is_refused(tmp_path: Path, cache: Path) -> None:
    (cache / "benchmark_model").write_bytes(AARCH64)
    refused = pytest.raises(BadInputError, match=f"benchmark_model: found a program for aarch64, expected .* {MACHINE}")
    with board(tmp_path, python="no-python") as opened, refused as caught:
        opened.measure(tflite(tmp_path), SHORT)
    assert "in its place" in caught.value.hint
    (cache / "edgekd").mkdir()
    for name in ("runner", "libonnxruntime.so"):
        (cache / "edgekd" / name).write_bytes(AARCH64)
    refused = pytest.raises(BadInputError, match=f"edgekd: found a runner for aarch64, expected one .* {MACHINE}")
    with board(tmp_path, python="no-python") as opened, refused:
        opened.measure(subject(tmp_path), SHORT)


def test_one_that_is_another_program_or_not_one_is_refused(tmp_path: Path, cache: Path) -> None:
    standin(cache / "benchmark_model", "onnxruntime_perf_test")
    refused = pytest.raises(BadInputError, match="is onnxruntime_perf_test by its help, expected benchmark_model")
    with board(tmp_path, python="no-python") as opened, refused:
        opened.measure(tflite(tmp_path), SHORT)
    folder = cache / "onnxruntime_perf_test"
    folder.mkdir()
    for name in ("one", "two", "lib.so"):
        install(folder / name, "")
    with pytest.raises(BadInputError, match="found 2 programs in the cache of runners"):
        cached_runners.benchmark(MACHINE, "onnxruntime")
    (cache / "edgekd").mkdir()
    (cache / "edgekd" / "runner").write_bytes(AARCH64)
    refused = pytest.raises(BadInputError, match=r"of the cache of runners: .*/edgekd without 'libonnxruntime\.so'")
    with board(tmp_path, python="no-python") as opened, refused:
        opened.measure(subject(tmp_path), SHORT)


def test_androids_name_of_a_processor_counts_and_no_path_does(cache: Path) -> None:
    (cache.parent / "arm64-v8a").mkdir()
    (cache.parent / "arm64-v8a" / "benchmark_model").write_bytes(AARCH64)
    found = cached_runners.benchmark("aarch64", "tflite")
    assert found is not None
    assert found.origin == "the cache of runners: arm64-v8a/benchmark_model"
    assert cached_runners.benchmark("armv7l", "tflite") is None
    assert cached_runners.benchmark(f"../runners/{cache.parent.name}", "tflite") is None


def test_doctor_names_what_was_found_there(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    standin(cache / "benchmark_model", "benchmark_model")
    given = {"target": "host", "folder": str(tmp_path), "python": "no-python", "accelerator": "xnnpack"}
    one = write_device(tmp_path / "device.toml", **given)
    assert run(["doctor", "--device", str(one.path)]) == EXIT_OK
    lines = [line for line in capsys.readouterr().out.splitlines() if ", .tflite files: " in line]
    digest = cached_runners.benchmark(MACHINE, "tflite").digest()  # type: ignore[union-attr]
    wanted = f"by benchmark_model of the user's, {digest}, out of {cache / 'benchmark_model'}; "
    assert lines[0].startswith(f"ok       device, .tflite files: {wanted}")
    (cache / "benchmark_model").write_bytes(AARCH64)
    with board(tmp_path, python="no-python") as opened:
        told = {each.name: each for each in opened.abilities()}
    assert not told[".tflite files"].works
    assert "found a program for aarch64" in told[".tflite files"].text


@pytest.fixture(scope="module", params=["ssh", "adb"])
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    with way_by(request.param, tmp_path_factory.mktemp(request.param)) as keys:
        yield keys


@pytest.mark.system
def test_both_kinds_run_over_ssh_and_adb(way: dict[str, object], tmp_path: Path, there: Path, cache: Path) -> None:
    build_runner(cache / "edgekd")
    standin(cache / "benchmark_model", "benchmark_model")
    one = write_device(tmp_path / "device.toml", **way, folder=str(there), python="no-python")
    with targets.measuring(one) as opened:
        onnx = by_metric(opened.measure(subject(tmp_path), SHORT))["latency"]
        told = {each.name: each.text for each in opened.abilities()}
        lite = by_metric(opened.measure(tflite(tmp_path), SHORT))["mean_latency"]
    assert len(onnx.values) >= SHORT.min_runs
    assert onnx.conditions["runner"] == "edgekd's runner"
    assert onnx.conditions["runner_from"] == f"the cache of runners: {MACHINE}/edgekd"
    assert told[".onnx files"] == f"by edgekd's own runner in {cache / 'edgekd'}, {onnx.conditions['runner_digest']}"
    assert lite.values
    assert lite.conditions["runner_from"] == f"the cache of runners: {MACHINE}/benchmark_model"
    assert list(there.iterdir()) == []
