"""edgekd plan: whole outputs, before and after a build."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from workshop import ONNX_ONLY, Built, Workshop

DEVICE = Path(__file__).parents[2] / "devices" / "pixel8.toml"
FRESH = """\
pipeline tiny (tiny.toml)
device   pixel8: Google Pixel 8 (DEVICE)
steps
  teacher                    run
  teacher_outputs            run (what it needs is not made yet)
  student_start              run
  student_unpruned           run (what it needs is not made yet)
  student_float              run (what it needs is not made yet)
  calibration                run
  teacher_onnx               run (what it needs is not made yet)
  onnx_float                 run (what it needs is not made yet)
  onnx_int8                  run (what it needs is not made yet)
  onnx_unpruned              run (what it needs is not made yet)
  evaluate teacher           run (what it needs is not made yet)
  evaluate student_start     run (what it needs is not made yet)
  evaluate student_unpruned  run (what it needs is not made yet)
  evaluate student_float     run (what it needs is not made yet)
  evaluate onnx_float        run (what it needs is not made yet)
  evaluate onnx_int8         run (what it needs is not made yet)
  shift teacher              run (what it needs is not made yet)
  shift student_start        run (what it needs is not made yet)
  shift student_float        run (what it needs is not made yet)
  shift onnx_int8            run (what it needs is not made yet)
  profile teacher_onnx       run (what it needs is not made yet)
  profile onnx_float         run (what it needs is not made yet)
  profile onnx_int8          run (what it needs is not made yet)
  profile onnx_unpruned      run (what it needs is not made yet)
  golden                     run (what it needs is not made yet)
limits
  peak_memory <= 1.00 GB             DEVICE:LINE
  latency_p95 <= 20.0 ms             --limit
  size <= 2.00 MB                    DEVICE:LINE
  energy <= 100 mJ                   DEVICE:LINE
  quality >= 50.0 %                  tiny.toml:50
25 steps to run; how long they take is unknown: no run in this output folder took them
"""


def normalised(text: str) -> str:
    """The packaged device's path and lines, which depend on where edgekd is installed, as words."""
    text = re.sub(r"/[^\n(]*/pixel8\.toml", "DEVICE", text)  # the folder's name may have spaces
    return re.sub(r"DEVICE:\d+", "DEVICE:LINE", text)


def test_a_plan_before_the_first_build(workshop: Workshop) -> None:
    workshop.pipeline("tiny", ONNX_ONLY)
    before = sorted(path.name for path in workshop.folder.iterdir())
    ran = workshop.run("plan", "tiny.toml", "--device", "pixel8", "--limit", "latency_p95<=20ms")
    assert (ran.code, ran.err) == (0, "")
    assert normalised(ran.out) == FRESH
    after = sorted(path.name for path in workshop.folder.iterdir() if path.name != "__pycache__")
    assert after == before, "a plan makes nothing"


def test_a_plan_after_a_build_has_nothing_to_run(built: Built) -> None:
    ran = built.workshop.run("plan", "tiny.toml", "--device", "pixel8", "--quick", "-o", "out")
    assert ran.code == 0
    steps = ran.out[ran.out.index("steps\n") + 6 : ran.out.index("limits\n")].splitlines()
    assert [line.split("  ")[1] for line in steps] == [step["name"] for step in built.report["steps"]]
    assert all(line.endswith(" cached") for line in steps)


def test_what_must_run_is_expected_to_take_what_it_took(built: Built) -> None:
    text = (built.workshop.folder / "tiny.toml").read_text().replace("epochs = 6", "epochs = 5")
    built.workshop.pipeline("shorter", text)
    alone = built.workshop.folder / "alone" / built.run_folder.relative_to("out")  # other tests add runs to out
    alone.mkdir(parents=True)
    shutil.copy(built.workshop.folder / built.run_folder / "report.json", alone)
    (built.workshop.folder / "alone" / ".store").symlink_to(built.output / ".store")
    ran = built.workshop.run("plan", "shorter.toml", "--device", "pixel8", "--quick", "-o", "alone")
    took = {step["name"]: step["seconds"] for step in built.report["steps"]}
    lines = {line.split("  ")[1]: line for line in ran.out.splitlines() if line.startswith("  ")}
    missing = [name for name in lines if " run" in lines[name]]
    assert "student_float" in missing
    for name in missing:
        assert lines[name].endswith(f", {took[name]:.1f} s the last time")
    whole = sum(took[name] for name in missing)
    assert ran.out.splitlines()[-1] == f"{len(missing)} steps to run: about {whole:.0f} s by earlier runs"


def test_a_change_runs_what_depends_on_it_and_nothing_else(built: Built) -> None:
    text = (built.workshop.folder / "tiny.toml").read_text().replace("macs_kept = 0.75", "macs_kept = 0.74")
    built.workshop.pipeline("changed", text)
    ran = built.workshop.run("plan", "changed.toml", "--device", "pixel8", "--quick", "-o", "out")
    cached = {line.strip().removesuffix("cached").strip() for line in ran.out.splitlines() if line.endswith("cached")}
    assert {
        "teacher",
        "student_unpruned",
        "teacher_onnx",
        "evaluate student_unpruned",
        "profile teacher_onnx",
    } <= cached
    assert not {"student_float", "onnx_float", "onnx_int8", "tflite_int8", "evaluate student_float"} & cached
