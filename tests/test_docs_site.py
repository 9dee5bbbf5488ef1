"""The documentation as a site: it builds without a warning, and has every stage, option and error message."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from workshop import Workshop

from edgekd.pipeline import STEPS

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_and_every_stage_is_in_it(site: Path) -> None:
    wanted = {f"{path.stem}.html" for path in DOCS} | {f"stages/{name}.html" for name in STEPS}
    assert wanted <= {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert "made:" not in (site / "troubleshooting.html").read_text() + (site / "stages.html").read_text()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    text = (site / "index.html").read_text()
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://(?!squidfunk)[^"]*"', text) == []


@pytest.mark.parametrize("name", STEPS)
def test_each_option_of_a_stage_is_explained(name: str, site: Path) -> None:
    text = (site / f"stages/{name}.html").read_text()
    rows = re.findall(r"<tr>\s*<td><code>(\w+)</code></td>.*?<td>([^<]*(?:<[^/t][^<]*)*)</td>\s*</tr>", text, re.DOTALL)
    assert {option for option, _ in rows} == STEPS[name].model_fields.keys()
    assert [option for option, said in rows if not said.strip()] == []


# the index of messages


@pytest.fixture(scope="module")
def index() -> list:  # type: ignore[type-arg]
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return import_module("error_index").entries()
    finally:
        sys.path.pop(0)


def test_every_error_of_the_sources_has_an_entry(index: list) -> None:  # type: ignore[type-arg]
    """The longest text in each call that makes an error stands in the index: found here by another way."""
    said = "\n".join(f"{entry.message}\n{entry.hint}" for entry in index)
    made, missing = 0, []
    for path in sorted((ROOT / "edgekd").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"BadInputError", "StageError"}:
                inner = [
                    each.value for part in node.args[:1] for each in ast.walk(part) if isinstance(each, ast.Constant)
                ]
                texts = [" ".join(each.split()) for each in inner if isinstance(each, str)]
                longest = max(texts, key=len, default="")
                made += 1
                missing += [f"{path}:{node.lineno}: {longest}"] * (
                    len(longest) > 8 and longest not in said
                )  # shorter ones are keys
    assert made > 300
    assert missing == []


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "nosuch", "--device", "pixel8"),
        ("plan", "--device", "pixel88"),
        ("plan", "--device", "pixel8", "--limit", "latency_p95<20"),
        ("stages", "show", "distil"),
        ("profile", "absent.onnx", "--device", "host"),
        ("verify", "absent"),
        ("bundle", "absent"),
        ("plan", "wrong.toml", "--device", "pixel8"),
    ],
    ids=" ".join,
)
def test_a_real_message_is_found_by_what_it_says(words: tuple[str, ...], index: list, tmp_path: Path) -> None:  # type: ignore[type-arg]
    (tmp_path / "wrong.toml").write_text('task = "image-classification"\n[[stages]]\nuse = "export"\nformats = []\n')
    ran = Workshop(tmp_path).run(*words)
    assert ran.code == 2
    message = next(line for line in ran.err.splitlines() if line.lower().startswith("error: "))[7:]
    assert [entry for entry in index if entry.says(message)], message


# spelling, lint


def test_the_words_are_spelled_as_in_a_dictionary() -> None:
    names = [
        "README.md",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "docs",
        "edgekd",
        "pipelines",
        "devices",
    ]
    words = [
        sys.executable,
        "-m",
        "codespell_lib",
        "-L",
        "intoto,tung,sme,nce",
        "--skip",
        "*.xz,*.json,*.safetensors,*.LICENSE,*.pyc",
        *names,
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_is_as_hadolint_wants_it() -> None:
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([program, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
