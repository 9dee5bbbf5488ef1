"""The benchmark of waiting times: its table, from one round. How long anything took isn't held against a limit here."""

from __future__ import annotations

import re
from pathlib import Path

from workshop import Built, run_script

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "commands.py"


def test_every_command_has_its_row(built: Built) -> None:
    ran = run_script(BENCHMARK, built.workshop.folder, "--rounds", "1", "--run", str(built.run_folder))
    assert ran.code == 0, ran.err
    head, nothing, *rows = ran.out.splitlines()
    assert head.split()[:2] == ["command", "median"]
    assert re.match(r"python -c pass +\d+\.\d\d s +\d+\.\d\d\.\.\d+\.\d\d s +\d+\.\d\d s +1\.0x$", nothing)
    named = [re.match(r"(edgekd .+?)  .* s  +\d+\.\d\d s  +\d+\.\dx  (?:met|MISSED)$", row) for row in rows]
    assert [found and found[1] for found in named] == [
        "edgekd --help",
        "edgekd plan --device pixel8",
        "edgekd devices list",
        "edgekd report RUN",
    ]


def test_a_run_that_is_none_ends_it(tmp_path: Path) -> None:
    ran = run_script(BENCHMARK, tmp_path, "--rounds", "1", "--run", str(tmp_path))
    assert ran.code == 2
    assert "error: " in ran.err
    assert "report.json" in ran.err
