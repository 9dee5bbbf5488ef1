"""What measuring must reach: the same figure by every way to the same machine, and again and again.

    OMP_NUM_THREADS=1 python benchmarks/targets.py

Needs what `make test-system` needs: an sshd and an adbd of our own run on loopback, and the runner in C is built. The
machine must be idle. The model is two convolutions of 32 channels on 56 x 56, about 58 M multiply-accumulates.
"""

from __future__ import annotations

import argparse
import operator
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from edgekd import device, targets
from edgekd.algorithms.order_statistics import stability
from edgekd.profile.measurement import Measurement
from edgekd.profile.rules import MIN_RUNS, Plan

ROOT = Path(__file__).parents[1]
ROUNDS = 9
BLOCKS, CALLS = 1000, 10
Row = tuple[str, str, str, bool]


def write_model(path: Path) -> Path:
    """Two convolutions with fixed random weights."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(generator.standard_normal((32, 32, 3, 3)).astype(np.float32) / 17, f"w{place}")
        for place in range(2)
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["y"], pads=[1, 1, 1, 1]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 32, 56, 56]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "two", ends[:1], ends[1:], initializer=weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def latency(measured: Sequence[Measurement]) -> Measurement:
    return next(each for each in measured if each.metric == "latency")


def session(there: device.Device, subject: targets.Subject, plan: Plan) -> tuple[Measurement, float]:
    """The latency, and the seconds of the whole session beside its timed runs."""
    began = time.monotonic()
    with targets.measuring(there) as opened:
        found = latency(opened.measure(subject, plan))
    return found, time.monotonic() - began - sum(found.values)


def write_device(path: Path, *lines: str) -> device.Device:
    path.write_text("\n".join(('title = "This machine"', 'arch = "x86_64"', 'runtimes = ["onnxruntime"]', *lines)))
    return device.load(str(path))


def ways(root: Path, config: Path, serial: str) -> dict[str, device.Device]:
    """The machine that it runs on, by every way to it: over ssh by Python and by the runner in C, over adb by that."""
    folder = f'folder = "{root}"'
    runner = f'runner = "{root / "runner"}"'
    ssh = ("[reach]", 'target = "ssh"', 'host = "board"', f'config = "{config}"', folder)
    adb = ("[reach]", 'target = "adb"', f'serial = "{serial}"', folder, runner, 'python = "none"')
    return {
        "host": write_device(root / "host.toml", "[reach]", 'target = "host"'),
        "ssh": write_device(root / "ssh.toml", *ssh, f'python = "{sys.executable}"'),
        "ssh, runner in C": write_device(root / "ssh-c.toml", *ssh, runner, 'python = "none"'),
        "adb": write_device(root / "adb.toml", *adb),
    }


def same_everywhere(there: dict[str, device.Device], subject: targets.Subject, plan: Plan) -> Iterator[Row]:
    """In turns, so that each way meets the same machine; what is judged is the ratio to the host of the same round.

    A shared machine changes its speed in spells of seconds to minutes, which the medians of all rounds also show.
    """
    medians: dict[str, list[float]] = {name: [] for name in there}
    beside: dict[str, list[float]] = {name: [] for name in there}
    for _ in range(ROUNDS):
        for name, one in there.items():
            found, seconds = session(one, subject, plan)
            medians[name].append(found.percentile(50))
            beside[name].append(seconds)
    ratios = {name: statistics.median(map(operator.truediv, each, medians["host"])) for name, each in medians.items()}
    apart = max(ratios.values()) / min(ratios.values()) - 1
    listed = ", ".join(
        f"{name} {ratios[name]:.3f}, {min(each) * 1e3:.3f} to {max(each) * 1e3:.3f} ms"
        for name, each in medians.items()
    )
    yield f"medians apart (in {ROUNDS} rounds: {listed})", "<= 5 %", f"{apart:.1%}", apart <= 0.05
    for name in list(there)[1:]:
        worst = max(beside[name])
        yield f"a session over {name}, beside its timed runs", "<= 15 s", f"{worst:.1f} s", worst <= 15


def repeated(here: device.Device, subject: targets.Subject, plan: Plan, count: int) -> Iterator[Row]:
    found = [session(here, subject, plan)[0] for _ in range(count)]
    medians = [each.percentile(50) for each in found]
    spread = (max(medians) - min(medians)) / statistics.median(medians)
    stable = sum(stability(each.values).stable for each in found)
    yield f"p50 of {count} sessions on this host, spread", "<= 5 %", f"{spread:.1%}", spread <= 0.05
    yield f"of them called stable, of {count}", ">= 80 %", str(stable), stable >= 0.8 * count


def single_and_in_a_block(model: Path) -> Row:
    """Ten calls timed one by one, and the same ten by one clock around them, in each block; the median of the ratios.

    Block by block, because a few slow calls raise a block's mean and not the median of all single calls.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    runner = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    fed = {"x": np.ones((1, 32, 56, 56), np.float32)}
    clock, singles, blocks = time.perf_counter_ns, np.empty((BLOCKS, CALLS)), np.empty(BLOCKS)
    for block in range(BLOCKS):
        began = clock()
        for call in range(CALLS):
            before = clock()
            runner.run(None, fed)
            singles[block, call] = clock() - before
        blocks[block] = (clock() - began) / CALLS
    ratio = float(np.median(np.median(singles, axis=1) / blocks))
    plain = float(np.median(singles) / np.median(blocks))
    clocks = float(np.median(singles.mean(axis=1) / blocks))  # what timing each call adds; the rest is their skew
    others = f"of all calls / of all blocks {plain:.4f}, mean / the same {clocks:.4f}"
    name = f"median of single calls / of the same calls in a block ({others})"
    return name, "1 +- 1 %", f"{ratio:.4f}", abs(ratio - 1) <= 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description="What measuring must reach.")
    parser.add_argument("--sessions", type=int, default=20, help="on this host, one after another")
    parser.add_argument("--seconds", type=float, default=5.0, help="of timed runs in each session, at least")
    parser.add_argument("--runs", type=int, default=MIN_RUNS, help="in each session, at least")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    daemons = import_module("daemons")
    plan = Plan(min_runs=given.runs, min_seconds=given.seconds)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("ssh", "adb"):
            (root / name).mkdir()
        command = [sys.executable, str(ROOT / "scripts" / "make_runner.py"), "--output", str(root / "runner")]
        subprocess.run(command, check=True, capture_output=True)
        np.savez(root / "x.npz", x=np.ones((1, 32, 56, 56), np.float32))
        subject = targets.Subject("two", write_model(root / "two.onnx"), "onnxruntime", root / "x.npz")
        with daemons.sshd(root / "ssh") as config, daemons.phone(root / "adb") as attached:
            os.environ.update(attached.environment)
            there = ways(root, config, attached.serial)
            table = [single_and_in_a_block(subject.path), *same_everywhere(there, subject, plan)]
        table += repeated(there["host"], subject, plan, given.sessions)
    for name, target, value, met in table:
        print(f"{name}\n    {target:>9}  {value:<12} {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
