"""A user's own benchmark_model and onnxruntime_perf_test: called, read, and refused; accelerators that weren't used.

Neither is to be had: programs of ours with their options and formats run the real model with the real runtime.
"""

from __future__ import annotations

import doctest
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shlex import quote

import numpy as np
import pytest
from adders import write_tflite
from boards import SHORT, by_metric, install, standin, subject, wait_until, way_by, write_device
from workshop import ONNX_ONLY, Built

from edgekd import targets
from edgekd.cli import run
from edgekd.errors import EXIT_FAIL, EXIT_OK, EXIT_USAGE, BadInputError, StageError
from edgekd.judge import Evidence, Verdict, judge
from edgekd.limits import parse_rule
from edgekd.profile import child
from edgekd.profile.measurement import Interval, Provenance
from edgekd.profile.rules import Plan
from edgekd.targets import accelerators, own_runners, own_session, programs, told_runs

# In the format of TFLite's sources, with counts that people have published of phones
WHOLLY = """\
VERBOSE: Replacing 49 out of 49 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions for subgraph 0.
INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.
"""
PARTLY = """\
VERBOSE: Replacing 54 out of 559 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions for subgraph 0.
INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 1 \
delegate kernels.
VERBOSE: Replacing 456 out of 506 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 19 partitions.
"""
HELP = "[ $1 = --help ] && echo --graph= --num_runs= && exit 1; "


def program(folder: Path, name: str) -> Path:
    """Under some other name: it is known by what it says."""
    return standin(folder / "a program's $(touch pwned)", name)


def tflite(tmp_path: Path) -> targets.Subject:
    np.savez(tmp_path / "inputs.npz", x=np.ones((1, 4), np.float32))
    return targets.Subject("mine", write_tflite(tmp_path / "m.tflite"), "tflite", tmp_path / "inputs.npz")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there it's"
    folder.mkdir()
    return folder


def session(tmp_path: Path, there: Path, runner: Path, **reach: object) -> targets.Session:
    given = {"target": "host", "folder": str(there), "runner": str(runner), **reach}
    return targets.measuring(write_device(tmp_path / "device.toml", **given))


def test_onnxruntimes_perf_test_gives_every_run(tmp_path: Path, there: Path) -> None:
    with session(tmp_path, there, program(tmp_path, "onnxruntime_perf_test")) as opened:
        for _ in range(2):  # the second one must not read the first one's files
            found = by_metric(opened.measure(subject(tmp_path), SHORT))
        identity = opened.identity
    latency = found["latency"]
    assert {one.provenance for one in found.values()} == {Provenance.ON_DEVICE}
    assert len(latency.values) >= SHORT.min_runs
    assert len(latency.warmups) >= 16
    assert sum(latency.values) >= SHORT.min_seconds
    assert "mean_latency" not in found
    assert 0 < found["load_time"].values[0] < 60
    assert 2**20 < found["peak_memory"].values[0] < 2**32
    assert latency.conditions["accelerator"] == "cpu"
    assert latency.conditions["runner"].startswith("onnxruntime_perf_test of the user's, ")
    assert "never tried" in latency.conditions["runner_note"]
    assert "accelerator: cpu" in identity
    assert list(there.iterdir()) == []
    assert not list(Path().rglob("pwned"))


def test_benchmark_model_prints_a_summary_alone(tmp_path: Path, there: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    with session(tmp_path, there, program(tmp_path, "benchmark_model"), accelerator="xnnpack") as opened:
        found = by_metric(opened.measure(tflite(tmp_path), SHORT))
    assert found["latency"].values == ()
    assert "no single runs, from which no percentile can be bounded" in found["latency"].unavailable
    conditions = found["latency"].conditions
    assert int(conditions["runs_count"]) >= SHORT.min_runs
    assert float(conditions["runs_median_us"]) <= float(conditions["runs_p95_us"])
    assert 0 <= found["mean_latency"].values[0] < 1
    assert all(len(found[name].values) == 1 for name in ("load_time", "first_inference", "peak_memory", "size"))
    assert (conditions["accelerator_requested"], conditions["accelerator"]) == ("xnnpack", "xnnpack")
    limits = tuple(parse_rule(name, rule, "here") for name, rule in (("latency_p95", "< 1 s"), ("load_time", "< 60 s")))
    predicted = replace(found["latency"], provenance=Provenance.PREDICTED, predicted={"p95": Interval(0.1, 0.1, 0.1)})
    evidence = Evidence("mine", (*found.values(), predicted), np.zeros(0), {})
    p95, load = judge(limits, evidence, frozenset({Provenance.ON_DEVICE, Provenance.PREDICTED}))
    assert (p95.verdict, load.verdict) == (Verdict.INCONCLUSIVE, Verdict.PASS)
    assert "prints a summary and no single runs" in p95.advice
    assert list(there.iterdir()) == []


def test_a_sustained_session_is_one_start_of_which_the_steady_end_is_told(
    tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "STEADY_WINDOW_S", 0.1)
    monkeypatch.setattr(child, "STEADY_SPREAD", 20.0)  # how steady this machine is isn't tested
    plan = Plan(min_runs=20, min_seconds=1, sustained=True)
    with session(tmp_path, there, program(tmp_path, "onnxruntime_perf_test")) as opened:
        found = by_metric(opened.measure(subject(tmp_path), plan))
    latency, sustained = found["latency"], found["sustained_latency"]
    assert sum(latency.warmups) + sum(latency.values) >= 1
    assert sustained.values == latency.values[-len(sustained.values) :]
    assert sum(sustained.values) == pytest.approx(4 * 0.1, rel=0.5)
    assert 0 < float(sustained.conditions["share_of_time_in_runs"]) < 1
    monkeypatch.setattr(child, "STEADY_WINDOW_S", 30.0)
    with session(tmp_path, there, program(tmp_path, "onnxruntime_perf_test")) as opened:
        assert "sustained_latency" not in by_metric(opened.measure(subject(tmp_path), plan))
    monkeypatch.setattr(own_runners, "MOST_RUNS", 10)
    refused = pytest.raises(BadInputError, match=r"runs take 2 s, expected at most 10 runs")
    with session(tmp_path, there, program(tmp_path, "onnxruntime_perf_test")) as opened, refused:
        opened.measure(subject(tmp_path), plan)


def test_a_file_of_results_that_ends_too_early_is_no_measurement(tmp_path: Path, there: Path) -> None:
    """As where the device gets full meanwhile: the program itself ends with 0."""
    inner = quote(str(program(tmp_path, "onnxruntime_perf_test")))
    cut = (
        f'{inner} "$@"; code=$?; [ ! -e results.csv ] || {{ head -n 15 results.csv >r; mv r results.csv; }}; exit $code'
    )
    refused = pytest.raises(StageError, match=r"this machine: onnxruntime_perf_test noted 15 runs .*, expected 1 s")
    with session(tmp_path, there, install(tmp_path / "cut", cut)) as opened, refused as caught:
        opened.measure(subject(tmp_path), SHORT)
    assert "room" in caught.value.hint


def test_the_worked_examples_of_told_runs_hold() -> None:
    found = doctest.testmod(told_runs)
    assert (found.failed, found.attempted) == (0, 2)


def profiled(tmp_path: Path, model: Path, *words: str) -> int:
    return run(["profile", str(model), "--device", str(tmp_path / "device.toml"), "--quick", *words])


def test_a_silent_fallback_to_the_cpu_fails(
    tmp_path: Path, there: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setattr(own_runners, "LOOK_RUNS", 2)
    given = {"target": "host", "folder": str(there), "accelerator": "gpu"}
    write_device(tmp_path / "device.toml", runner=str(program(tmp_path, "benchmark_model")), **given)
    model = tflite(tmp_path).path
    assert profiled(tmp_path, model) == EXIT_FAIL
    output = capsys.readouterr().out
    assert "FAILED: gpu was asked for, and the model ran on the CPU alone: INFO: Though GPU delegate" in output
    assert "edgekd was never tried with the program itself" in output
    assert "latency            unavailable: benchmark_model prints a summary" in output
    assert profiled(tmp_path, model, "--accelerator", "xnnpack", "--json") == EXIT_OK
    assert json.loads(capsys.readouterr().out)["measurements"][0]["conditions"]["accelerator"] == "xnnpack"
    assert profiled(tmp_path, model, "--accelerator", "nnapi") == EXIT_USAGE
    assert "the accelerator 'nnapi' in [reach], which this benchmark_model doesn't have" in capsys.readouterr().err
    assert profiled(tmp_path, subject(tmp_path).path) == EXIT_USAGE
    assert "benchmark_model has for files of tflite alone" in capsys.readouterr().err


def test_onnxruntimes_own_log_tells_of_a_fallback(tmp_path: Path, there: Path) -> None:
    mine = program(tmp_path, "onnxruntime_perf_test")
    with session(tmp_path, there, mine, accelerator="nnapi") as opened:
        found = by_metric(opened.measure(subject(tmp_path), SHORT))["latency"]
    assert accelerators.fell_back(found.conditions)
    assert found.conditions["operators_on_cpu"] == "1"
    assert found.conditions["accelerator_words"] == "1 operators on cpu"


@pytest.mark.parametrize(
    ("log", "used", "left"),
    [
        (WHOLLY, "gpu", 0),
        (PARTLY, "gpu and cpu", 505),
        ("INFO: Created TensorFlow Lite delegate for GPU.\nINFO: count=3 first=1", "cpu", None),
    ],
)
def test_what_tflite_says_of_a_delegate(log: str, used: str, left: int | None) -> None:
    found = accelerators.by_tflite("gpu", log)
    assert (found.used, found.on_cpu) == (used, left)
    told = accelerators.partial(found.conditions())
    assert told == ("" if left != 505 else "runs on gpu but for 505 operators, which stay on the CPU")


def test_what_onnxruntime_says_of_providers() -> None:
    log = " Node(s) placed on [NnapiExecutionProvider]. Number of nodes: 2\n Node(s) placed on [CPUExecutionProvider]. "
    found = accelerators.by_onnxruntime("nnapi", log + "Number of nodes: 3")
    assert (found.used, found.on_cpu) == ("nnapi and cpu", 3)
    assert (
        accelerators.by_onnxruntime("qnn", "All nodes placed on [QNNExecutionProvider]. Number of nodes: 1").used
        == "qnn"
    )


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("echo 'usage: ls [options]'", BadInputError, "says to --help:\nusage: ls"),
        ("exit 127", BadInputError, "expected the help of one of benchmark_model, onnxruntime_perf_test"),
        (
            HELP + "echo no luck; kill -9 $$",
            StageError,
            "killed by signal 9",
        ),
        (
            HELP + "echo done",
            StageError,
            "gave no mean time that edgekd can",
        ),
        (HELP + "sleep 613", StageError, "benchmark_model hung for"),
    ],
)
def test_a_program_that_cannot_be_used_ends_with_its_words(
    script: str, error: type[Exception], message: str, tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_session, "HANG_S", 2.0)
    refused = pytest.raises(error, match=message)
    with refused, session(tmp_path, there, install(tmp_path / "mine", script)) as opened:
        opened.measure(tflite(tmp_path), SHORT)
    wait_until(lambda: not list(there.iterdir()))


def test_what_cannot_be_measured_so_is_refused(tmp_path: Path, there: Path) -> None:
    refused = pytest.raises(BadInputError, match="--sustained with benchmark_model, expected a runner that tells each")
    with session(tmp_path, there, program(tmp_path, "benchmark_model")) as opened, refused:
        opened.measure(tflite(tmp_path), Plan(min_runs=20, min_seconds=1, sustained=True))
    with pytest.raises(BadInputError, match="expected the target adb, ssh or host for an accelerator"):
        write_device(tmp_path / "device.toml", target="browser", accelerator="gpu", runner="mine")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "runner").touch()
    ours = write_device(tmp_path / "device.toml", target="host", accelerator="gpu", runner="ours", folder=str(there))
    with pytest.raises(BadInputError, match="with edgekd's own runner, which runs on the CPU alone"):
        targets.measuring(ours)
    assert list(there.iterdir()) == []


def test_a_program_is_found_in_its_folder_with_its_libraries(tmp_path: Path) -> None:
    folder = tmp_path / "built"
    folder.mkdir()
    mine = write_device(tmp_path / "device.toml", target="ssh", host="a", runner="built")
    with pytest.raises(BadInputError, match="with 0 programs, expected a folder"):
        programs.named(mine)
    for name in ("libonnxruntime.so.1.22.0", "libother.so"):
        (folder / name).touch()
    (folder / "perf").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xb7\0")
    found = programs.named(mine)
    assert found is not None
    assert set(found.files()) == {"own_runner", "libonnxruntime.so.1.22.0", "libother.so"}
    found.refuse_for("aarch64")
    with pytest.raises(BadInputError, match="a program for aarch64, expected one for the device's x86_64"):
        found.refuse_for("x86_64")
    (folder / "second").touch()
    with pytest.raises(BadInputError, match="with 2 programs"):
        programs.named(mine)


def test_a_build_fails_whose_files_did_not_run_where_they_were_to(tmp_path: Path, there: Path, built: Built) -> None:
    mine = json.dumps(str(program(tmp_path, "onnxruntime_perf_test")))
    reach = f'target = "host"\nfolder = {json.dumps(str(there))}\nrunner = {mine}\naccelerator = "nnapi"\n'
    (built.workshop.folder / "npu.toml").write_text(f'like = "pixel8"\n[reach]\n{reach}')
    pipeline = built.workshop.pipeline("one", ONNX_ONLY)
    ran = built.workshop.run("build", pipeline, "--device", "npu.toml", "--quick", "-o", "npu", "--json", "-q")
    report = json.loads(ran.out)
    assert ran.code == report["exit_code"] == EXIT_FAIL, ran.err
    (check,) = (row for row in report["checks"] if row["metric"] == "accelerator")
    assert (check["artifact"], check["verdict"], check["limit"]) == ("onnx_int8", "fail", "runs on nnapi")
    assert "it ran on the CPU alone, and the figures are the CPU's" in check["advice"]
    again = json.loads(built.workshop.run("check", "npu/latest", "--json").out)
    assert [row["verdict"] for row in again["checks"] if row["metric"] == "accelerator"] == ["fail"]
    other = json.loads(built.workshop.run("check", "npu/latest", "--device", "raspberrypi4", "--json").out)
    assert "accelerator" not in {row["metric"] for row in other["checks"]}


@pytest.fixture(scope="module", params=["ssh", "adb"])
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    with way_by(request.param, tmp_path_factory.mktemp(request.param)) as keys:
        yield keys


@pytest.mark.system
def test_both_run_over_ssh_and_adb_and_nothing_stays(way: dict[str, object], tmp_path: Path, there: Path) -> None:
    with session(tmp_path, there, program(tmp_path, "benchmark_model"), **way, accelerator="gpu") as opened:
        found = by_metric(opened.measure(tflite(tmp_path), SHORT))
    assert accelerators.fell_back(found["latency"].conditions)
    assert found["mean_latency"].values
    with session(tmp_path, there, program(tmp_path, "onnxruntime_perf_test"), **way) as opened:
        assert len(by_metric(opened.measure(subject(tmp_path), SHORT))["latency"].values) >= SHORT.min_runs
    assert list(there.iterdir()) == []
