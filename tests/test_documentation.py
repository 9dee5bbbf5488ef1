"""What the documents say: their commands run, their options, targets, files and fields exist, their examples load."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib import import_module
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adders import write_onnx
from PIL import Image
from safetensors.numpy import save_file

from edgekd import errors, planning
from edgekd.cli import COMMANDS
from edgekd.report.model import Report

ROOT = Path(__file__).parent.parent
PAGES = tuple(
    f"docs/{name}.md" for name in ("first-build", "own-models", "verdicts", "ci", "stages", "pruning", "int8")
)
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", *PAGES)
CHEAP = ("plan", "devices", "stages", "profile", "--help")
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETTING = re.compile(r"[A-Z_]+=\S*")


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def all_commands() -> list[str]:
    blocks = [body for name in DOCUMENTS for language, body in FENCED.findall(text_of(name)) if language == "console"]
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return list(dict.fromkeys(line.removeprefix("$ ") for line in lines))


def words_of(command: str) -> list[str]:
    """The command's words, without settings of the environment before it."""
    words = shlex.split(command)
    while words and SETTING.fullmatch(words[0]):
        words.pop(0)
    return words


def commands_of(program: str) -> list[str]:
    return [command for command in all_commands() if words_of(command)[0] == program]


def examples() -> dict[str, str]:
    """The code blocks whose first line is a comment with the name of a file."""
    named = {}
    for document in DOCUMENTS:
        for _, body in FENCED.findall(text_of(document)):
            first = re.match(r"# (\S+\.(?:toml|py))\n", body)
            if first:
                named[first[1]] = body
    return named


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the documents' example files, and with the data and weights that those name."""
    root = tmp_path_factory.mktemp("documentation")
    for name, body in examples().items():
        (root / name).write_text(body, encoding="utf-8")
    for split in ("train", "test"):
        for label, name in enumerate(("boot", "sandal")):
            (root / "shoes" / split / name).mkdir(parents=True)
            Image.new("RGB", (16, 16), (label * 200, 50, 50)).save(root / "shoes" / split / name / "1.png")
    write_onnx(root / "model.onnx", batch=1)
    save_file({"weight": np.zeros(1, np.float32)}, root / "my_teacher.safetensors")
    return root


def test_every_command_is_of_a_known_program() -> None:
    assert {words_of(command)[0] for command in all_commands()} == {"edgekd", "make"}


@pytest.mark.parametrize("command", [each for each in commands_of("edgekd") if words_of(each)[1] in CHEAP])
def test_a_cheap_command_runs(command: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgekd", *words_of(command)[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", [each for each in commands_of("edgekd") if words_of(each)[1] == "build"])
def test_a_build_command_has_options_that_exist(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekd.cli import planned

    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    build = import_module("edgekd.cli.build").command
    context = build.make_context("build", words_of(command)[2:])  # click refuses unknown options and values
    assert planned.plans(context.params)


@pytest.mark.parametrize("command", commands_of("make"))
def test_a_make_command_has_targets_that_exist(command: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE))
    wanted = [word for word in words_of(command)[1:] if not SETTING.fullmatch(word)]
    assert wanted
    assert set(wanted) <= targets


def test_every_command_has_an_example() -> None:
    assert {words_of(command)[1] for command in commands_of("edgekd")} >= set(COMMANDS)


def layout() -> list[str]:
    """The paths in ARCHITECTURE.md's layout, relative to the checkout."""
    block = text_of("ARCHITECTURE.md").split("## Layout", 1)[1].split("\n\n", 2)[1]
    paths, parent = [], ""
    for line in block.splitlines():
        name = line.split()[0]
        inner = line.startswith("      ")
        paths.append(f"{parent}{name}" if inner else name)
        parent = parent if inner else name
    return paths


@pytest.mark.parametrize("path", layout())
def test_a_path_of_the_layout_exists(path: str) -> None:
    found = ROOT / path
    assert found.is_dir() if path.endswith("/") else found.is_file()


def test_the_layout_has_all_of_the_package() -> None:
    package = {f"edgekd/{path.name}" for path in (ROOT / "edgekd").glob("*.py")}
    package |= {f"edgekd/{path.parent.name}/" for path in (ROOT / "edgekd").glob("*/__init__.py")}
    assert package <= set(layout())


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_a_path_that_is_named_exists(document: str) -> None:
    quoted = re.findall(r"`((?:edgekd|devices|pipelines|scripts|tests|\.ci)/[\w./-]*)`", text_of(document))
    named = [path for path in quoted if "NAME" not in path]
    assert [path for path in named if not (ROOT / path).exists()] == []


def rows(heading: str, document: str = "README.md") -> list[list[str]]:
    """The cells of the first table below ``heading``, without its head."""
    section = text_of(document).split(f"\n## {heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.split("|")[1:]] for line in table[0].splitlines()[2:]]


def test_every_dependency_has_a_row_that_names_its_extras() -> None:
    values: dict[str, Any] = tomllib.loads(text_of("pyproject.toml"))
    extras = {
        "base": values["project"]["dependencies"],
        **values["project"]["optional-dependencies"],
        "to build": values["build-system"]["requires"],
    }
    wanted: dict[str, set[str]] = {}
    for extra, requirements in extras.items():
        for requirement in requirements:
            wanted.setdefault(re.split(r"[^\w-]", requirement)[0], set()).add(extra)
    assert {name: set(extra.split(", ")) for name, extra, *_ in rows("Dependencies")} == wanted


def test_every_extra_that_an_error_names_brings_the_package() -> None:
    extras = tomllib.loads(text_of("pyproject.toml"))["project"]["optional-dependencies"]
    brought = {name: {re.split(r"[^\w-]", each)[0] for each in requirements} for name, requirements in extras.items()}
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "edgekd").rglob("*.py"))
    named = set(re.findall(r'MissingExtraError\(\s*"([\w-]+)",\s*"([\w-]+)"', sources))
    assert named
    needed = [planning.NEEDED, planning.NEEDED_BY_TEXTS, planning.NEEDED_BY_TFLITE, planning.NEEDED_BY_KERAS]
    distributions = packages_distributions()
    for module, extra in chain.from_iterable(each.items() for each in needed):
        named |= {(name, extra) for name in distributions.get(module, [module])[:1]}
    indirect = {"huggingface_hub": "transformers"}  # which brings it
    missing = {(name, extra) for name, extra in named if indirect.get(name, name) not in brought[extra]}
    assert missing == set()


def test_every_exit_code_is_explained() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {int(row[0]) for row in rows("Exit codes")} >= codes


def test_every_field_of_the_report_is_explained() -> None:
    explained = {
        name for row in rows("report.json", "docs/report.md") for name in re.findall(r"`(\w+)(?:\[\])?`", row[0])
    }
    assert explained == {field.name for field in fields(Report)}


def test_constraints_pin_every_dependency() -> None:
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in text_of("constraints.txt").splitlines()}
    assert {name.lower() for name, *_ in rows("Dependencies")} <= pinned
