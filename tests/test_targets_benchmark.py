"""The benchmark of targets: its table, with sessions too short to say anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.system
def test_every_row_is_there(tmp_path: Path) -> None:
    command = [
        sys.executable,
        ROOT / "benchmarks" / "targets.py",
        "--sessions",
        "2",
        "--seconds",
        "0.1",
        "--runs",
        "30",
    ]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin", "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    names = done.stdout.splitlines()[::2]
    wanted = ["median of single calls", "medians apart (in 9 rounds: host 1.000"]
    wanted += ["a session over ssh", "a session over ssh, runner in C"]
    wanted += ["a session over adb", "p50 of 2 sessions", "of them called stable"]
    assert [name.startswith(start) for name, start in zip(names, wanted, strict=True)] == [True] * len(wanted)
