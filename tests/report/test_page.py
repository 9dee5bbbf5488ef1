"""report.html: whole, small, self-contained, and nothing from outside becomes markup."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pages
import pytest
from reports import REPORT

from edgekd.errors import BadInputError
from edgekd.report import bars, details, page, reading
from edgekd.report.model import CheckRow, Report

SECTIONS = [
    *("budget", "tradeoff", "latency", "operators", "classes", "training", "candidates", "parity", "memory"),
    *("energy", "conditions", "again"),
]


class Tags(HTMLParser):
    """The tags, ids and texts of a page, and whether what is opened is closed."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.requested: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.handlers += [name for name in given if name.startswith("on")]
        self.requested += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages.furnish(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def text(run: Path) -> str:
    return page.html(pages.FULL, run)


def test_the_sections_come_in_their_order(text: str) -> None:
    found = Tags(text)
    assert found.open == []
    assert [each for each in found.ids if each in SECTIONS] == SECTIONS
    assert len(set(found.ids)) == len(found.ids)


def test_it_asks_for_nothing_and_runs_nothing(text: str) -> None:
    found = Tags(text)
    assert not {"script", "iframe", "link", "object", "base", "form"} & found.tags
    assert found.handlers == []
    assert all(each.startswith(("#", "data:image/png;base64,")) for each in found.requested)
    assert "default-src 'none'" in text


def test_hostile_texts_stay_texts_everywhere(text: str) -> None:
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 20  # in tables and in pictures
    assert "{{ 7*7 }}" in text
    assert "onerror" not in re.sub(r"&lt;img src=x onerror=alert\(2\)&gt;", "", text)


def test_hostile_names_of_files_stay_texts_in_pictures(run: Path) -> None:
    name = rf"\1 {pages.ATTACK}_int8"
    candidates = (replace(pages.FULL.candidates[0], artifact=name), *pages.FULL.candidates)
    shown = page.html(replace(pages.FULL, candidates=candidates), run)
    assert "<script" not in shown
    assert "<img src=x" not in shown
    assert Tags(shown).tags == Tags(page.html(pages.FULL, run)).tags


def test_the_verdict_comes_first_and_then_what_failed(text: str) -> None:
    body = text.split("<body>", 1)[1]
    places = [
        body.index(part)
        for part in (
            "FAIL",
            "checks failed",
            "31.0 ms over 100 ms",
            "try half the &lt;script&gt;width: 82.0 ms",
            "<nav",
        )
    ]
    assert places == sorted(places)


def test_it_has_the_pictures_and_stays_small(text: str) -> None:
    assert text.count("<svg") == 8  # trade-off, sizes, predicted, training; latencies and candidates of two files
    assert len(text.encode()) < 2_000_000


def test_colours_are_the_pages_own(text: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert set(re.findall(r"(?:fill|stroke): (#\w+)", drawn)) == set()
    assert "var(--onnx)" in drawn
    assert "currentColor" in drawn


def test_equal_runs_give_equal_pages(text: str, run: Path) -> None:
    assert page.html(pages.FULL, run) == text


def test_a_report_that_lies_alone_says_what_is_missing(tmp_path: Path) -> None:
    text = page.html(pages.FULL, tmp_path)
    assert "No raw latencies lie beside this report" in text
    assert "This run has no operator profile" in text


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_report_has_a_page(version: int, tmp_path: Path) -> None:
    report = reading.read(Path(__file__).parent / "old" / f"version-{version}.json")
    text = page.html(report, tmp_path)
    assert Tags(text).open == []
    assert 'class="bound"' in text  # the limit is read from its text


def test_an_empty_report_has_a_page(tmp_path: Path) -> None:
    empty: Report = replace(REPORT, checks=(), quality={}, notes=(), verdict="pass")
    assert Tags(page.html(empty, tmp_path)).open == []


def test_damaged_measurements_are_named(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    broken = tmp_path / "run/measurements/onnx_int8.npz"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(BadInputError, match=r"onnx_int8\.npz: found no measurements"):
        page.html(pages.FULL, tmp_path / "run")


def test_damaged_details_are_named(tmp_path: Path) -> None:
    (tmp_path / "details.json").write_text('{"counts": 3}')
    with pytest.raises(BadInputError, match=r"details\.json: counts"):
        page.html(REPORT, tmp_path)


def test_details_are_read_again(run: Path) -> None:
    assert details.read(run) == pages.extras()


def check(point: float | None, bound: float | None, lower: float | None = None, upper: float | None = None) -> CheckRow:
    return replace(REPORT.checks[0], point=point, bound=bound, lower=lower, upper=upper)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (check(25.0, 100.0, 10.0, 50.0), bars.Bar(8, 40, 20, 80)),  # from zero, the limit at four fifths
        (check(200.0, 100.0, 150.0, 900.0), bars.Bar(16.35, 88.46, 21.15, 11.54)),
        (check(25.0, 100.0, 10.0, 900.0), bars.Bar(3.33, 100, 8.33, 33.33)),  # cut off at three times the limit
        (check(0.97, 0.94, 0.94, 0.98), bars.Bar(11.54, 88.46, 69.23, 11.54)),
        (check(0.97, 0.94), bars.Bar(0, 100, 88.46, 11.54)),  # ends that aren't known
        (check(1.0, 1.0, 1.0, 1.0), bars.Bar(50, 50, 50, 50)),
        (check(None, 1.0), None),
        (check(1.0, None), None),
    ],
)
def test_where_a_bar_lies(row: CheckRow, expected: bars.Bar | None) -> None:
    assert bars.bar(row) == expected
