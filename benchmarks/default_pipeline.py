"""What the default pipeline must reach: quality, speed and size of its INT8 files, and how long it takes.

    OMP_NUM_THREADS=1 python benchmarks/default_pipeline.py

Builds into a fresh folder: for pixel8 twice (how long a first and a second build take), then for this host
(latency ratios within one run, teacher in float against INT8 student in the same runtime, one thread).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EDGEKD = [sys.executable, "-m", "edgekd"]


def timed(*arguments: str) -> tuple[float, int, str]:
    """Seconds, exit code and stdout of one edgekd command."""
    began = time.monotonic()
    done = subprocess.run([*EDGEKD, *arguments], capture_output=True, text=True, check=False)
    return time.monotonic() - began, done.returncode, done.stdout


def median_seconds(*arguments: str, runs: int = 5) -> float:
    return sorted(timed(*arguments)[0] for _ in range(runs))[runs // 2]


def rows(report: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Target, what it must be, what it is, and whether that is enough."""
    table = []
    p50 = {m["artifact"]: m["p50"] for m in report["measurements"] if m["metric"] == "latency"}
    size = {a["kind"]: a["size_bytes"] for a in report["artifacts"]}
    teacher = report["quality"]["teacher"]["value"]
    differences = {d["first"]: d for d in report["differences"] if d["second"] == "teacher"}
    for form in ("onnx", "tflite"):
        share = report["quality"][f"{form}_int8"]["value"] / teacher
        pair = differences[f"{form}_int8"]
        bounds = f"{1 + pair['lower'] / teacher:.1%}..{1 + pair['upper'] / teacher:.1%}"
        table.append((f"{form} INT8 accuracy / teacher's", ">= 97 %", f"{share:.1%} ({bounds})", share >= 0.97))
        faster = p50[f"teacher_{form}"] / p50[f"{form}_int8"]
        table.append((f"{form} teacher float p50 / INT8 p50", ">= 4", f"{faster:.1f}", faster >= 4))
        smaller = size[f"teacher_{form}"] / size[f"{form}_int8"]
        table.append((f"{form} teacher file / INT8 file", ">= 10", f"{smaller:.1f}", smaller >= 10))
    macs = {a["kind"]: a["macs"] for a in report["artifacts"]}
    for student in ("onnx_unpruned", "onnx_float"):
        less = macs["teacher_onnx"] / macs[student]
        table.append((f"teacher's multiply-accumulates / {student}'s", ">= 8", f"{less:.2f}", less >= 8))
    return table


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "artifacts")
        first, code, _ = timed("build", "--device", "pixel8", "-o", out, "-q")
        second, code_again, _ = timed("build", "--device", "pixel8", "-o", out, "-q")
        host, host_code, text = timed("build", "--device", "host", "-o", out, "-q", "--json")
        table = rows(json.loads(text))
    table.append(("first build for pixel8", "<= 240 s", f"{first:.0f} s (exit code {code})", first <= 240))
    table.append(("second build", "<= 2.5 s", f"{second:.2f} s (exit code {code_again})", second <= 2.5))
    helped, planned = median_seconds("--help"), median_seconds("plan", "--device", "pixel8")
    table.append(("edgekd --help, median of 5", "<= 0.25 s", f"{helped:.2f} s", helped <= 0.25))
    table.append(("edgekd plan, median of 5", "<= 1 s", f"{planned:.2f} s", planned <= 1))
    print(f"host build after it: {host:.0f} s, exit code {host_code}; 2,000 test images of the Fashion-MNIST subset")
    for name, target, value, met in table:
        print(f"{name:<48} {target:>9}  {value:<24} {'met' if met else 'MISSED'}")


if __name__ == "__main__":
    main()
