"""edgekd clean: what goes by age and size, and what never does."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import Built, Ran

from edgekd import cli

Command = Callable[..., Ran]
DAY = 86400


@pytest.fixture
def output(built: Built, tmp_path: Path) -> Path:
    """The output folder of the tiny build, and in its store what no report needs, 1 to 3 days old."""
    target = tmp_path / "out"
    shutil.copytree(built.output, target, symlinks=True)
    store = target / ".store"
    for days in (1, 2, 3):
        entry = store / (f"{days}" * 32)
        entry.mkdir()
        (entry / "manifest.json").write_text("{}")
        (entry / "file").write_bytes(b"x" * 1_000_000)
        age(entry, days)
    for place in (store / "partial" / ("4" * 32), store / "scratch-x"):
        place.mkdir(parents=True)
        (place / "epoch").write_bytes(b"y" * 1000)
        age(place, 40)
    return target


def age(folder: Path, days: float) -> None:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - days * DAY,) * 2)


@pytest.fixture
def clean(capsys: pytest.CaptureFixture[str], output: Path) -> Command:
    def command(*arguments: str) -> Ran:
        code = cli.run(["clean", "-o", str(output), *arguments])
        return Ran(code, *capsys.readouterr())

    return command


def names(output: Path) -> set[str]:
    return {path.name for path in (output / ".store").iterdir()}


def needed(output: Path) -> set[str]:
    """By any run that is there: other tests build here too."""
    found = [json.loads(path.read_text()) for path in output.glob("*/*/*/made/making.json")]
    return {step["key"] for made in found for step in made["steps"]}


def test_what_is_old_goes_and_what_a_report_needs_stays(clean: Command, output: Path) -> None:
    for key in needed(output):
        age(output / ".store" / key, 50)
    ran = clean("--older-than", "36h")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["checkpoints", "scratch", "artifact", "artifact"]
    assert lines[-1].startswith("2.00 MB freed, ")
    assert needed(output) <= names(output)
    assert "1" * 32 in names(output)
    assert not {"2" * 32, "3" * 32, "scratch-x"} & names(output)
    assert not list((output / ".store").rglob(".gone*"))


def test_a_cleaned_store_still_has_all_that_a_build_again_needs(clean: Command, output: Path, built: Built) -> None:
    assert clean("--max-size", "0 B").code == 0
    moved = built.output.with_name("moved")
    built.output.rename(moved)
    shutil.copytree(output, built.output, symlinks=True)
    try:
        ran = built.again()
    finally:
        shutil.rmtree(built.output)
        moved.rename(built.output)
    assert ran.code == built.ran.code
    assert all("cached" in line for line in ran.err.splitlines() if line.startswith(("student", "onnx", "profile")))


def test_the_oldest_go_until_the_rest_is_small_enough(clean: Command, output: Path) -> None:
    size = sum(path.stat().st_size for path in (output / ".store").rglob("*") if path.is_file())
    ran = clean("--max-size", f"{size - 1_500_000} B", "--dry-run")
    assert ran.code == 0
    assert [Path(line.split()[-1]).name for line in ran.out.splitlines()[:-1]][2:] == ["3" * 32, "2" * 32]
    assert ran.out.splitlines()[-1].startswith("2.00 MB would be freed, ")
    assert {"2" * 32, "3" * 32, "scratch-x"} <= names(output), "nothing went"
    ran = clean("--max-size", "1 B")
    assert ran.err == f"more than 1 B is left: remove runs that nobody needs below {output}, and clean again\n"
    assert needed(output) <= names(output)


def test_nothing_goes_while_a_build_holds_a_lock(clean: Command, output: Path) -> None:
    with (output / ".store" / "locks" / next(iter(needed(output)))).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ran = clean("--max-size", "0 B")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith(f"error: {output}: a build is running there: nothing was removed\n")
    assert "3" * 32 in names(output)


def test_a_run_that_doesnt_tell_its_steps_stops_it(clean: Command, output: Path) -> None:
    made = next(output.glob("*/*/*/made/making.json"))
    made.unlink()
    ran = clean("--max-size", "0 B")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {made}: found nothing that tells which steps this run needs")
    assert "3" * 32 in names(output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "found neither --older-than nor --max-size"),
        (["--older-than", "30"], "--older-than: found '30', expected days or hours"),
        (["--max-size", "5"], "--max-size: found no unit in '5'"),
        (["--max-size", "5GB", "-o", "nowhere"], "nowhere/.store: found no store"),
    ],
)
def test_bad_input(clean: Command, arguments: list[str], message: str) -> None:
    ran = clean(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {message}")
