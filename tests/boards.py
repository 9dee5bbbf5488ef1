"""Devices for the targets' tests, and what they measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import numpy as np
import pytest
from adders import write_onnx
from daemons import phone, sshd

from edgekd import device, targets
from edgekd.profile.measurement import Measurement
from edgekd.profile.rules import Plan
from edgekd.targets.local import Local
from edgekd.targets.remote import RemoteSession

ROOT = Path(__file__).parents[1]
SHORT = Plan(min_runs=20, min_seconds=0.05)
LONG = Plan(min_runs=20, min_seconds=600)
STRANGE = ["a b", "it's", 'say "so"', "$(touch pwned)", "`touch pwned`", "a;touch pwned", "&& touch pwned", "*", "-rf"]


def write_device(path: Path, **reach: object) -> device.Device:
    """A device file for this machine, reached as if it were another one."""
    lines = "".join(f"{name} = {_toml(value)}\n" for name, value in reach.items())
    path.write_text(f'title = "A board"\narch = "x86_64"\nruntimes = ["onnxruntime", "tflite"]\n[reach]\n{lines}')
    return device.load(str(path))


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {json.dumps(each)}" for name, each in value.items()) + " }"
    return json.dumps(value)


def session(tmp_path: Path, **reach: object) -> RemoteSession:
    """A session with this machine's shell, in a folder of a strange name."""
    parent = tmp_path / "there it's $(touch pwned)"
    parent.mkdir(exist_ok=True)
    there = write_device(
        tmp_path / "board.toml", **{"target": "ssh", "host": "here", "python": sys.executable, **reach}
    )
    return RemoteSession(Local("here"), there, str(parent))


def subject(tmp_path: Path, name: str = "m.onnx") -> targets.Subject:
    """The smallest model, with its input."""
    np.savez(tmp_path / "inputs.npz", x=np.ones((1, 4), np.float32))
    return targets.Subject("mine", write_onnx(tmp_path / name, batch=1), "onnxruntime", tmp_path / "inputs.npz")


def beside_its_weights(tmp_path: Path, name: str, weights: str) -> targets.Subject:
    """A model whose weights lie in a file of their own, named ``weights``."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = [1, 512]
    ends = [helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each in ("x", "y")]
    kept = numpy_helper.from_array(np.full(shape, 2, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "m", ends[:1], ends[1:], [kept])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / name, save_as_external_data=True, location=weights, size_threshold=0)
    np.savez(tmp_path / "inputs.npz", x=np.ones(shape, np.float32))
    return targets.Subject("mine", tmp_path / name, "onnxruntime", tmp_path / "inputs.npz")


def by_metric(found: tuple[Measurement, ...]) -> dict[str, Measurement]:
    """The measurements by their names."""
    return {one.metric: one for one in found}


def build_runner(folder: Path, *more: str) -> Path:
    """edgekd's own runner, for this machine."""
    command = [sys.executable, ROOT / "scripts" / "make_runner.py", "--output", folder, *more]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return folder


STANDINS = Path(__file__).parent / "standins"


def install(path: Path, script: str) -> Path:
    """A program that is a script for ``sh``."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def standin(path: Path, name: str) -> Path:
    """A program that stands in for one that isn't to be had: one of tests/standins, under another name."""
    return install(path, f'exec {quote(sys.executable)} -P {quote(str(STANDINS / name))}.py "$@"')


def begin(model: Path, there: device.Device, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Start ``edgekd profile`` in the model's folder, in a process group of its own."""
    command = [sys.executable, "-m", "edgekd", "profile", model, "--device", there.path, *options]
    pipe = subprocess.PIPE
    path = {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        stdout=pipe,
        stderr=pipe,
        text=True,
        cwd=model.parent,
        env={**os.environ, **path, **environment},
        start_new_session=True,
    )


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for what happens in another process."""
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{seconds} s have passed")


def measuring(folder: Path) -> bool:
    """Whether the runner has come to its warm-up: both runners make their answer, or have loaded the model, by then."""
    return any(path.read_text().split() for path in folder.glob("edgekd.*/pids"))


@contextmanager
def way_by(target: str, root: Path) -> Iterator[dict[str, object]]:
    """The keys of [reach] by which a daemon of our own is reached over ``target``, ssh or adb."""
    if target == "ssh":
        with sshd(root) as config:
            yield {"target": "ssh", "host": "board", "config": str(config)}
        return
    with phone(root) as one, pytest.MonkeyPatch.context() as patch:
        for name, value in one.environment.items():
            patch.setenv(name, value)
        yield {"target": "adb"}
