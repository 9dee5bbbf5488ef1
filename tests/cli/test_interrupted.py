"""Ctrl-C and kill -9 inside a distillation: what is kept, and that the next build ends where one would have ended."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from workshop import ONNX_ONLY, Built, Workshop

BUILD = ("build", "tiny.toml", "--device", "pixel8", "--quick", "-o", "out")
SWALLOWING = """\
import os, signal, tinynet

class Swallower:
    def __del__(self):  # Python prints what is raised in here, and goes on
        os.kill(os.getpid(), signal.SIGINT)

def student():
    model = tinynet.student()
    model.register_forward_pre_hook(lambda module, _: Swallower() and None if module.training else None)
    return model
"""
STUDENTS = ("student_start", "student_unpruned", "student_float")


def interrupt_distilling(workshop: Workshop, number: signal.Signals) -> tuple[int, str]:
    """Start a build, and send the signal when another epoch of the distillation is on disk."""
    before = state(workshop)
    with workshop.start(*BUILD) as process:
        wait_for_another(workshop, before, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert out == ""
    assert state(workshop), "the distillation was over before it was interrupted"
    return process.returncode, err


def state(workshop: Workshop) -> set[tuple[Path, int]]:
    found = (workshop.folder / "out" / ".store" / "partial").glob("*/checkpoint.pt")
    return {(path, path.stat().st_mtime_ns) for path in found}


def wait_for_another(workshop: Workshop, before: set[tuple[Path, int]], process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        if state(workshop) - before:
            return
        time.sleep(0.005)
    pytest.fail(f"the build ended with {process.returncode} before its first checkpoint")


def digests(built: Built) -> dict[str, str]:
    return {row["kind"]: row["sha256"] for row in built.report["artifacts"] if row["kind"] in STUDENTS}


def handed_over(built: Built) -> dict[str, bytes]:
    """The bundle's ONNX file, and its golden vectors."""
    bundle = built.workshop.folder / built.run_folder / "bundle"
    files = {"model.onnx": bundle / "model.onnx"}
    files |= {path.name: path for path in (*bundle.glob("golden/raw/*"), *bundle.glob("golden/tensors/*-onnx-*"))}
    assert len(files) == 1 + 3 * 16
    return {name: path.read_bytes() for name, path in files.items()}


def test_an_interrupted_build_goes_on_to_the_same_student(built: Built, workshop: Workshop) -> None:
    workshop.pipeline("tiny", ONNX_ONLY)
    code, err = interrupt_distilling(workshop, signal.SIGINT)
    assert code == 130
    *steps, last = filter(None, err.splitlines())  # click ends the line of the ^C
    assert last == "interrupted: finished steps are kept, the next build goes on from there"
    assert [line.split()[0] for line in steps] == ["teacher", "teacher_outputs", "student_start"]
    assert not (workshop.folder / "out" / "tiny").exists()
    assert not list((workshop.folder / "out" / ".store").glob("scratch-*"))

    code, err = interrupt_distilling(workshop, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert [line.split()[:2] for line in err.splitlines()] == [
        ["teacher", "cached"],
        ["teacher_outputs", "cached"],
        ["student_start", "cached"],
    ]

    resumed = Built(workshop, workshop.run_afresh(*BUILD))  # also with another seed of hashes
    assert resumed.ran.code == 0
    assert digests(resumed) == digests(built)
    assert handed_over(resumed) == handed_over(built), "from an empty store come the same file and golden vectors"
    names = [path.name for path in (workshop.folder / "out").rglob("*")]
    assert not [name for name in names if name.startswith((".partial", "scratch-", ".latest", "checkpoint"))]


def test_a_ctrl_c_that_something_swallows_is_heeded_at_the_next_batch(workshop: Workshop) -> None:
    (workshop.folder / "swallowing.py").write_text(SWALLOWING)
    workshop.pipeline("tiny", ONNX_ONLY.replace("tinynet:student", "swallowing:student"))
    ran = workshop.run_afresh(*BUILD)
    assert ran.code == 130, ran.err
    assert "Exception ignored in: <function Swallower.__del__" in ran.err
    assert ran.err.endswith("interrupted: finished steps are kept, the next build goes on from there\n")
    assert "student_unpruned" not in ran.err
