"""edgekd from Python: what docs/python.md says runs, and is what the command line does."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import pytest
from reports import REPORT
from workshop import PIPELINE, Built

import edgekd
from edgekd import api, planning
from edgekd.asked import BuildOptions
from edgekd.errors import BadInputError
from edgekd.report import reading

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_page_runs_as_it_stands(built: Built) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    folder = built.workshop.folder
    (folder / "mails.toml").write_text(PIPELINE)
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / ".store").symlink_to(built.output / ".store")
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    nodes, verdict, *checks, verified = done.stdout.splitlines()
    assert "'student_float'" in nodes
    report = reading.read(folder / "artifacts" / "latest")
    assert verdict == f"{report.verdict} {report.exit_code}"
    assert checks == [f"{each.artifact} {each.limit} {each.point} {each.verdict}" for each in report.checks]
    assert any("size <= 20.0 MB" in check for check in checks)
    assert verified == "0"
    told = built.report
    assert report.quality["onnx_int8"].value == told["quality"]["onnx_int8"]["value"], "as the command line found it"
    assert [step.name for step in report.steps] == [step["name"] for step in told["steps"]]
    assert {step.name for step in report.steps if not step.cached} <= {"golden"}, "it tells the pipeline's name"


def test_what_cant_be_built_is_raised(built: Built) -> None:
    path = built.workshop.folder / "tiny.toml"
    with pytest.raises(BadInputError, match="found no device 'pixel88'"):
        edgekd.plan(path, "pixel88", output=built.output)
    with pytest.raises(BadInputError, match="found 'fast', expected METRIC"):
        edgekd.build(path, "pixel8", output=built.output, limits=["fast"])
    with pytest.raises(BadInputError, match="found no such folder or file, expected a bundle"):
        edgekd.verify(built.output / "nothing")


def test_the_options_are_those_of_the_command_line() -> None:
    from edgekd.cli.options import OPTIONS

    @click.command()
    def command() -> None: ...

    for option in OPTIONS:
        option(command)
    typed = {each.name: each for each in command.params if each.name not in ("pipeline", "devices")}
    assert {*typed, "allow_inconclusive", "no_examples"} == set(BuildOptions.__annotations__)
    defaults = {field.name: field.default for field in fields(planning.Options)} | {"output": api.OUTPUT}
    told = command.make_context("edgekd", ["--device", "host"]).params
    assert {name: told[name] for name in typed} == {name: defaults[name] for name in typed}


def test_each_option_reaches_the_plan(built: Built) -> None:
    path = built.workshop.folder / "tiny.toml"
    plan = edgekd.plan(
        path, "pixel8", output=built.output, control=True, threads=2, require="on_device", parity="arm64"
    )
    assert (plan.options.control, plan.options.threads) == (True, 2)
    assert (plan.options.require, plan.options.parity) == ("on_device", "arm64")
    assert {"control", "arm64"} <= {node.name for node in plan.nodes}
    assert edgekd.plan(path, "pixel8", output=built.output, allow_inconclusive=True).options.allow_inconclusive
    assert edgekd.plan(path, "pixel8", output=built.output, no_examples=True).options.no_examples


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads: found 0, expected a whole number from 1 to 256"),
        ({"threads": True}, "threads: found True, expected"),
        ({"require": "measured"}, "require: found 'measured', expected 'on_device' or 'predicted'"),
        ({"parity": "x86"}, "parity: found 'x86', expected 'arm64'"),
        ({"limits": "size<=2MB"}, "limits: found the text 'size<=2MB', expected a list"),
    ],
)
def test_what_the_command_line_would_refuse_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=re.escape(message)):
        edgekd.plan("default", "pixel8", **options)


def test_an_option_that_doesnt_exist_is_a_mistake_in_the_program() -> None:
    wrong: dict[str, Any] = {"quik": True}
    with pytest.raises(TypeError, match="found the option 'quik', expected one of output, limits"):
        edgekd.build("default", "pixel8", **wrong)
    with pytest.raises(AttributeError, match="module 'edgekd' has no attribute 'biuld'"):
        getattr(edgekd, "biuld")  # noqa: B009 (mypy would refuse the plain spelling)


def test_a_notebook_shows_the_checks_and_escapes_texts() -> None:
    hostile = replace(REPORT.checks[0], artifact="<script>alert(1)</script>")
    shown = replace(REPORT, pipeline="<b>", checks=(hostile, *REPORT.checks[1:]))._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<strong>FAIL: &lt;b&gt; on pixel8: " in shown
    assert shown.count("<tr>") == 1 + len(REPORT.checks)
    assert "p95 latency 131 ms, 31.0 ms over 100 ms<br>try half the &lt;script&gt;width: 82.0 ms (" in shown


def test_importing_edgekd_is_cheap() -> None:
    alone, _, whole = subprocess.run(
        [sys.executable, "-c", "import sys, edgekd; print(*sys.modules); print(); edgekd.build; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert not {name for name in alone.split() if name.startswith("edgekd.")}
    heavy = {"torch", "onnx", "onnxruntime", "ai_edge_litert", "litert_torch", "tensorflow", "transformers", "pyarrow"}
    assert heavy.isdisjoint(whole.split())
    assert {"build", "plan", "verify"} <= set(dir(edgekd))
