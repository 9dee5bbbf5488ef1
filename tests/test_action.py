"""action.yml and the example of a workflow: as GitHub's schemas want them, and the action's own script, run by bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from workshop import Built

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/edgekd.yml").read_text(encoding="utf-8"))
BUILD, UPLOAD, END = ACTION["runs"]["steps"]


@pytest.mark.parametrize(("schema", "path"), [("workflows", ".github/workflows/edgekd.yml"), ("actions", "action.yml")])
def test_it_is_as_githubs_schema_says(schema: str, path: str) -> None:
    words = ["-m", "check_jsonschema", "--builtin-schema", f"vendor.github-{schema}", path]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_gives_inputs_that_the_action_has() -> None:
    (step,) = [step for step in WORKFLOW["jobs"]["build"]["steps"] if step.get("uses") == "./"]
    required = {name for name, value in ACTION["inputs"].items() if value.get("required")}
    assert required <= step["with"].keys() <= ACTION["inputs"].keys()


def act(built: Built, tmp_path: Path, **inputs: str) -> tuple[dict[str, str], str]:
    """Run the action's build step, and return its outputs and the job's summary."""
    program = tmp_path / "bin/edgekd"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m edgekd "$@"\n')
    program.chmod(0o755)
    given = {name: str(value.get("default", "")) for name, value in ACTION["inputs"].items()} | inputs
    files = {name: tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        path.touch()
    variables = {key: given[text.split()[1].removeprefix("inputs.")] for key, text in BUILD["env"].items()}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", BUILD["run"]],
        cwd=built.workshop.folder,
        env=os.environ
        | {key: str(path) for key, path in files.items()}
        | variables
        | {"PATH": f"{program.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pairs = (line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    return dict(pairs), files["GITHUB_STEP_SUMMARY"].read_text()


def test_a_build_posts_its_report_and_hands_on_its_exit_code(built: Built, tmp_path: Path) -> None:
    more = "--quick\n--limit size<=1kB\n"
    outputs, summary = act(built, tmp_path, pipeline="tiny.toml", device="pixel8", output="out", arguments=more)
    run = Path(outputs["run"])
    assert outputs["exit-code"] == "1"
    assert summary.strip() == (run / "report.md").read_text(encoding="utf-8").strip()  # once
    assert {"bundle.zip", "report.json", "junit.xml"} <= {path.name for path in run.iterdir()}
    assert {Path(line).name for line in UPLOAD["with"]["path"].split()} >= {"bundle.zip", "report.*", "junit.xml"}


def test_a_build_that_cannot_begin_hands_on_its_exit_code_alone(built: Built, tmp_path: Path) -> None:
    outputs, summary = act(built, tmp_path, device="pixel88", output=str(tmp_path / "out"), arguments="")
    assert (outputs, summary) == ({"exit-code": "2"}, "")


@pytest.mark.parametrize(("there", "code", "said"), [(True, 0, ""), (True, 1, "::notice::"), (False, 0, "")])
def test_the_workflow_posts_the_report_as_a_comment(there: bool, code: int, said: str, tmp_path: Path) -> None:  # noqa: FBT001 (pytest's)
    """By a gh that writes down what it was asked; where it may not write, the job goes on."""
    (step,) = [step for step in WORKFLOW["jobs"]["build"]["steps"] if "gh pr comment" in step.get("run", "")]
    program = tmp_path / "bin/gh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >asked\nexit {code}\n')
    program.chmod(0o755)
    if there:
        (tmp_path / "artifacts/latest").mkdir(parents=True)
        (tmp_path / "artifacts/latest/report.md").touch()
    variables = {"REPORT": step["env"]["REPORT"], "PULL_REQUEST": "https://example.org/pull/7; exit 9"}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=tmp_path,
        env=os.environ | variables | {"PATH": f"{program.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(said)
    wanted = ["pr", "comment", variables["PULL_REQUEST"], "--body-file", variables["REPORT"]]
    asked = tmp_path / "asked"
    assert (asked.read_text().splitlines() if asked.exists() else []) == (wanted if there else [])


def test_the_action_ends_as_the_build_did() -> None:
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", END["run"]], env=os.environ | {"CODE": "4"}, check=False)
    assert done.returncode == 4
    assert END["env"]["CODE"] == "${{ steps.build.outputs.exit-code }}"
    assert "if" not in END  # it runs whenever the step before didn't fail, which it can't
