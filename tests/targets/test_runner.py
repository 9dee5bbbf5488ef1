"""edgekd's own runner in C: it measures by the same rules as the child in Python, and refuses what can't be run."""

from __future__ import annotations

import json
import shutil
import subprocess
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from adders import write_onnx
from boards import ROOT, SHORT, build_runner, subject
from onnx import TensorProto, helper

from edgekd import targets
from edgekd.errors import BadInputError
from edgekd.profile import child
from edgekd.profile.rules import Plan
from edgekd.targets.runners import CRunner

# Of a Cortex-A76: bookworm's emulator shows the host's own, which onnxruntime can't read.
CPUINFO = (
    "processor\t: 0\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc "
    "dcpop asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\n\n"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_runner(tmp_path_factory.mktemp("built") / "runner")


def run(
    built: Path, machine: str, measured: targets.Subject, plan: Plan, *before: str
) -> tuple[dict[str, Any], array[int]]:
    """Put everything into one folder, as it would lie on the device, and run it there."""
    folder = measured.path.parent / "device"
    folder.mkdir()
    staging = measured.path.parent / "staging"
    staging.mkdir()
    runner = CRunner(built, machine)
    for name, path in runner.files(measured, plan, staging).items():
        shutil.copy(path, folder / name)
    command = [*(before or ("sh", "-c", "exec $0")), runner.command(plan)]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    samples = array("q")
    samples.frombytes(done.stdout)
    return json.loads((folder / "answer.json").read_text()), samples


@pytest.mark.system
def test_its_answer_has_what_the_childs_has(built: Path, tmp_path: Path) -> None:
    answer, samples = run(built, "x86_64", subject(tmp_path), replace(SHORT, min_runs=9000, min_seconds=0))
    assert answer["runs"] == len(samples) == 9000  # over two blocks
    assert all(nanoseconds > 0 for nanoseconds in samples)
    assert 0 < answer["load_time_s"] < answer["cold_start_s"] < 60
    assert 0 < answer["base_memory_bytes"] <= answer["load_peak_bytes"] <= answer["peak_memory_bytes"]
    assert len(answer["warmups_s"]) >= 2 * child.WARMUP_WINDOW
    assert answer["steady_runs"] == 0
    wanted = {"warmups_s", "settled", "runs", "steady_runs", "core", "energy", "first_inference_s"}
    assert wanted <= answer.keys()


@pytest.mark.system
def test_several_inputs_of_several_types_go_to_their_places(built: Path, tmp_path: Path) -> None:
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, [1, 3]),
        helper.make_tensor_value_info("scale", TensorProto.FLOAT, []),
    ]
    nodes = [
        helper.make_node("Cast", ["ids"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "scale"], ["y"]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "two", inputs, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    np.savez(tmp_path / "i.npz", scale=np.float32(2), ids=np.ones((1, 3), np.int64))
    measured = targets.Subject("two", tmp_path / "m.onnx", "onnxruntime", tmp_path / "i.npz")
    answer, samples = run(built, "x86_64", measured, SHORT)
    assert "refused" not in answer
    assert len(samples) >= 20


@pytest.mark.system
def test_what_cannot_be_loaded_or_run_is_refused_with_the_runtimes_words(built: Path, tmp_path: Path) -> None:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])]
    graph = helper.make_graph([helper.make_node("Magic", ["x"], ["y"])], "unknown", inputs, [output])
    measured = subject(tmp_path)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), measured.path)
    answer, samples = run(built, "x86_64", measured, SHORT)
    assert "onnxruntime cannot load it" in answer["refused"]
    assert "Magic" in answer["refused"]
    assert not samples


FAILING = """
#include <stddef.h>
static const void *api[128];
static int runs;
static const char *message(const void *status) { (void)status; return "no memory is left"; }
static void *fine(void) { return NULL; }
static void *run(void) { return ++runs > 3 ? "failed" : NULL; }
static const void **get_api(unsigned version) {
  (void)version;
  for (int place = 0; place < 128; place++) api[place] = (const void *)fine;
  api[2] = (const void *)message;
  api[9] = (const void *)run;
  return api;
}
static const char *version(void) { return "0"; }
static const struct { const void **(*get_api)(unsigned); const char *(*version)(void); } base = {get_api, version};
const void *OrtGetApiBase(void) { return &base; }
"""


@pytest.mark.system
def test_a_model_that_fails_after_its_first_runs_is_refused_in_one_answer(built: Path, tmp_path: Path) -> None:
    """What was written of the answer by then is not mixed into the reason."""
    own = tmp_path / "own"
    own.mkdir()
    (tmp_path / "failing.c").write_text(FAILING)
    library = own / "libonnxruntime.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "failing.c"], check=True)
    shutil.copy(built / "runner", own)
    (own / "inputs.txt").touch()
    ran = subprocess.run(["sh", "-c", CRunner(own, "x86_64").command(SHORT)], cwd=own, capture_output=True, check=True)
    assert ran.stdout == b""
    answer = json.loads((own / "answer.json").read_text())
    assert answer == {"refused": "model.onnx: onnxruntime cannot run it: no memory is left"}


@pytest.mark.system
def test_the_arm64_build_runs_in_an_emulator(tmp_path: Path) -> None:
    """It carries its own loader and libraries: nothing of an Arm system is here."""
    built = ROOT / ".system" / "runner-arm64"
    assert built.exists(), "run: make test-system, which builds it"
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    emulated = f'mount --bind {tmp_path}/cpuinfo /proc/cpuinfo; set -- $0; exec qemu-aarch64 -cpu cortex-a76 "$@"'
    before = ("unshare", "-rm", "sh", "-c", emulated)
    answer, samples = run(built, "aarch64", subject(tmp_path), SHORT, *before)
    assert len(samples) >= 20
    assert answer["load_time_s"] > 0


def test_a_program_for_another_system_is_refused(tmp_path: Path) -> None:
    write_onnx(tmp_path / "runner")
    with pytest.raises(BadInputError, match="found no program for Linux or Android"):
        CRunner(tmp_path, "x86_64")
