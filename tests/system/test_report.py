"""report.html in a real browser: on a phone and a desk, light and dark, by keyboard, by axe-core's rules, attacked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pages
import pytest

from edgekd.report import page

pytestmark = pytest.mark.system
WIDTHS = (390, 1400)
SCHEMES = ("light", "dark")
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 22, 26)"}
# What the browser asks the page: which elements reach out of the window, other than in a part that scrolls by itself.
OUTSIDE = """() => [...document.querySelectorAll('body *')].filter(each =>
  !each.closest('.scroll, .skip, thead, svg') && each.getBoundingClientRect().right > innerWidth + 1
).map(each => each.outerHTML.slice(0, 80))"""

FOCUSED = """() => { const each = document.activeElement, box = each.getBoundingClientRect();
  return [each.textContent.trim() || each.tagName, getComputedStyle(each).outlineStyle, box.left, box.right] }"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        yield started
        started.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page.write(pages.FULL, pages.furnish(tmp_path_factory.mktemp("run"))).as_uri()


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids=str)
def shown(request: pytest.FixtureRequest, browser: Any, place: str) -> Iterator[Any]:
    """The page in one width and scheme; what it asks for, says and pops up is kept in ``heard``."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    opened = context.new_page()
    opened.heard = []
    opened.on("dialog", lambda dialog: (opened.heard.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda request: opened.heard.append(request.url))
    opened.on("console", lambda message: opened.heard.append(message.text))
    opened.on("pageerror", lambda error: opened.heard.append(str(error)))
    opened.goto(place)
    opened.scheme = scheme
    yield opened
    context.close()


def test_it_fits_its_window(shown: Any) -> None:
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for each in shown.query_selector_all("details"):
        each.evaluate("details => details.open = true")
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.evaluate(OUTSIDE) == []


def test_it_is_as_light_or_dark_as_the_system(shown: Any) -> None:
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == GROUNDS[shown.scheme]
    words = shown.evaluate("[...document.querySelectorAll('svg text')].map(each => getComputedStyle(each).fill)")
    assert words
    ink = shown.evaluate("getComputedStyle(document.body).color")
    assert set(words) == {ink}


def test_axe_finds_nothing_serious(shown: Any, modules: Path) -> None:
    for each in shown.query_selector_all("details"):
        each.evaluate("details => details.open = true")
    shown.evaluate((modules / "axe-core/axe.min.js").read_text(encoding="utf-8"))
    found = shown.evaluate("axe.run()")
    assert len(found["passes"]) > 20  # it did look
    serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in serious] == []


def test_what_has_the_keyboards_focus_is_seen(shown: Any) -> None:
    seen = set()
    for _ in range(20):
        shown.keyboard.press("Tab")
        name, style, left, right = shown.evaluate(FOCUSED)
        seen.add(name)
        assert style == "solid", name
        assert -1 <= left < right <= shown.viewport_size["width"] + 1, name
    assert {"Skip to the verdict", "Budget", "Again"} <= seen


def test_hostile_texts_do_nothing_but_stand_there(shown: Any, place: str) -> None:
    shown.wait_for_timeout(100)
    assert shown.heard == [place]
    assert shown.evaluate("document.images.length === 1 && document.images[0].naturalWidth === 8")
    assert shown.evaluate("document.scripts.length") == 0
    assert shown.locator("body").inner_text().count("<script>alert(1)</script>") > 20
