"""edgekd report, and what a build leaves for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pages
import pytest
from click.testing import CliRunner
from reports import REPORT
from workshop import ONNX_ONLY, Built, Workshop

from edgekd.report import details, figure, folder
from edgekd.report.model import FORMAT_VERSION


@pytest.fixture(scope="module")
def run(built: Built) -> Path:
    return built.workshop.folder / built.run_folder


def test_a_build_leaves_the_page_and_what_it_shows(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    kept = details.read(run)
    assert kept.command == "edgekd build tiny --device pixel8 --quick"
    assert kept.command in text
    assert {row.artifact for row in kept.operators} == {"onnx_int8", "tflite_int8"}
    assert all(sum(row.share for row in kept.operators if row.artifact == name) <= 1.001 for name in ("onnx_int8",))
    assert kept.share_of == "the predicted time"
    assert max(row.share for row in kept.operators if row.int8) > 0
    for seen in (kept.timed, kept.memory):
        assert [(row.artifact, row.provenance, row.unavailable) for row in seen] == [
            (name, "on_host", "") for name in ("onnx_int8", "tflite_int8")
        ]
    assert "of the time of the" in text
    assert "model loaded" in text  # in the picture of memory over time
    assert (run / "bundle/report.html").read_bytes() == (run / "report.html").read_bytes()


def test_the_items_that_int8_answers_otherwise_are_kept(run: Path) -> None:
    kept, scores = details.read(run), dict(np.load(run / details.SCORES))
    assert set(kept.differing) == {"onnx_int8", "tflite_int8"}
    assert all(set(values) <= {0.0, 1.0} for values in scores.values())
    wrong = {name: (scores[name] != scores["teacher"]).sum() for name in kept.differing}
    assert all(kept.differing[name] >= wrong[name] for name in wrong)
    assert bool(kept.examples) == any(kept.differing.values())
    for row in kept.examples:
        assert row.kind == "image"
        assert any(answer != row.teacher for answer in row.answers.values())


def test_the_page_is_written_again_without_the_models(run: Path, built: Built, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "a run"))
    for path in (*copy.glob("model.*"), *copy.glob("made/*.onnx"), copy / "report.html"):
        path.unlink()
    ran = built.workshop.run("report", str(copy))
    assert (ran.code, ran.err, ran.out) == (0, "", f"{copy / 'report.html'}\n")
    assert (copy / "report.html").read_bytes() == (run / "report.html").read_bytes()


def test_a_report_alone_is_enough(run: Path, built: Built, tmp_path: Path) -> None:
    shutil.copy(run / "report.json", tmp_path / "kept.json")
    ran = built.workshop.run("report", str(tmp_path / "kept.json"), "-o", str(tmp_path / "page.html"))
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'page.html'}\n")
    assert "No raw latencies lie beside this report" in (tmp_path / "page.html").read_text()


def test_a_newer_report_is_refused_with_its_version(workshop: Workshop) -> None:
    newer = replace(REPORT, format_version=FORMAT_VERSION + 1, edgekd_version="9.9")
    (workshop.folder / "report.json").write_text(folder.to_json(newer))
    ran = workshop.run("report", "report.json")
    assert ran.code == 2
    assert f"found a report of the format {FORMAT_VERSION + 1}, by edgekd 9.9" in ran.err


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(import_module("edgekd.cli.report").command, arguments, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.output


def test_open_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, opened = pages.furnish(tmp_path), []
    monkeypatch.setattr(click, "launch", lambda path: opened.append(path) or 0)
    assert invoke(str(run), "--open") == (0, f"{run / 'report.html'}\n")
    assert opened == [str(run / "report.html")]
    monkeypatch.setattr(click, "launch", lambda _: 1)
    assert "found no browser" in invoke(str(run), "--open")[1]


def test_test_items_can_be_left_out(tmp_path: Path) -> None:
    run = pages.furnish(tmp_path)
    pictures = []
    for option in ([], ["--no-examples"]):
        assert invoke(str(run), *option)[0] == 0
        text = (run / "report.html").read_text(encoding="utf-8")
        pictures.append((text.count("data:image/png"), text.count("<blockquote>")))
        assert "answers" in text
    assert pictures == [(1, 1), (0, 0)]


def test_a_build_can_keep_no_test_items(workshop: Workshop) -> None:
    """A student that was hardly trained answers many of them otherwise than the teacher."""
    poor = ONNX_ONLY.replace("epochs = 30", "epochs = 1").replace("epochs = 6", "epochs = 1")
    build = ("build", workshop.pipeline("poor", poor), "--device", "pixel8", "--quick", "-o", "out")

    def run(*options: str) -> Path:
        ran = workshop.run(*build, *options)
        assert ran.code in (0, 1, 4), ran.err
        return workshop.folder / Path(ran.out.splitlines()[-1]).parent

    kept, shown = run("--no-examples"), run()
    told, found = details.read(kept), details.read(shown)
    contents = [example.content for example in found.examples]
    assert contents
    assert (told.examples, told.differing) == ((), found.differing)
    assert told.command == f"{found.command} --no-examples"
    written = [path for path in kept.rglob("*") if path.suffix in (".html", ".json", ".md", ".xml")]
    assert {"report.html", "report.json", "details.json", "report.md"} <= {path.name for path in written}
    assert contents[0] in (shown / "report.html").read_text(encoding="utf-8")
    texts = [path.read_text(encoding="utf-8") for path in written]
    assert not [each for each in contents for text in texts if each in text]
    page = (kept / "report.html").read_text(encoding="utf-8")
    assert "otherwise than the teacher" in page
    assert "data:image/png" not in page
    assert (kept / "bundle/report.html").read_text(encoding="utf-8") == page


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure, "possible", lambda: False)
    with pytest.raises(Exception, match="not installed") as refused:
        invoke(str(pages.furnish(tmp_path)))
    assert "pip install 'edgekd[report]'" in refused.value.hint  # type: ignore[attr-defined]


def test_a_place_that_cant_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="can't be written"):
        invoke(str(pages.furnish(tmp_path)), "-o", str(tmp_path / "nowhere" / "page.html"))


def test_a_job_of_github_gets_the_markdown(built: Built, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    with built.workshop.start(
        *("build", "tiny.toml", "--device", "pixel8", "--quick", "-o", "out"), GITHUB_STEP_SUMMARY=str(summary)
    ) as process:
        _, err = process.communicate(timeout=600)
    assert f"report.md was appended to {summary}" in err
    assert summary.read_text().startswith("before\n## ")
    assert json.loads((built.output / "latest/report.json").read_text())["pipeline"] in summary.read_text()
