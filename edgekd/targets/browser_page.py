"""A page in a headless Chromium of its own, and what can be asked of it."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.errors import BadInputError, MissingExtraError, StageError

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, ConsoleMessage, Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SILENT_S = 300.0  # without an answer: a page that hangs
MEMORY = "often memory ran out: a page has at most 4 GB, and fewer where the machine has"
SAID = 3  # of the page's last warnings and errors
OPTIONS = (
    "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves this machine
    "--enable-blink-features=ForceEagerMeasureMemory",  # measure now, and not when garbage is next collected
)


class DiedError(StageError):
    """The page or the whole browser ended."""


def program() -> str:
    """The browser's program.

    Raises:
        BadInputError: there is none.

    """
    for name in PROGRAMS:
        if found := shutil.which(name):
            return found
    raise BadInputError(
        f"found no {', '.join(PROGRAMS[:-1])} or {PROGRAMS[-1]} on the PATH, expected a browser to measure in",
        "on Debian: apt-get install chromium",
    )


@cache
def version(path: str) -> str:
    """What the browser calls itself."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=SILENT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StageError(f"{path}: can't be started: {error}") from error
    match = re.search(r"(Chromium|Google Chrome) [\d.]+", done.stdout)
    if match is None:
        raise StageError(f"{path} --version: found {done.stdout.strip()[:80]!r}, expected Chromium and its version")
    return match[0]


class Measuring:
    """The page: each question is a function of ``page/measuring.mjs``."""

    def __init__(self, page: Page, browser: CDPSession, model: Path) -> None:
        self._page, self._browser, self._model = page, browser, model
        self._pid = next(each["id"] for each in self._processes() if each["type"] == "browser")
        self._said: list[str] = []
        self._hung = False
        page.on("console", self._note)

    def ask(self, question: str, argument: object = None) -> Any:
        """The answer.

        Raises:
            DiedError: the page or the browser ended, or gave no answer for SILENT_S.

        """
        from playwright.sync_api import Error

        hung = threading.Timer(SILENT_S, self._end)
        hung.start()
        try:
            return self._page.evaluate(f"argument => edgekd.{question}(argument)", argument)
        except Error as error:
            why = error.message.splitlines()[0].strip() + self.words()
            raise DiedError(
                f"{self._model}: the page {self._ending(why)} during {question!r}: {why}", MEMORY
            ) from error
        finally:
            hung.cancel()

    def _ending(self, why: str) -> str:
        if self._hung:
            return f"gave no answer for {SILENT_S:.0f} s"
        return "ended" if "crashed" in why or "closed" in why else "failed"

    def words(self) -> str:
        """The page's last warnings and errors, as the end of a message."""
        return "".join(f"; {line}" for line in self._said[-SAID:])

    def peak_memory_bytes(self) -> int | None:
        """The highest resident set of the page's process, with all of Chromium that is in it."""
        renderers = [each for each in self._processes() if each["type"] == "renderer"]
        page = max(renderers, key=lambda each: each["cpuTime"])
        try:
            status = Path(f"/proc/{page['id']}/status").read_text()
        except OSError:
            return None
        found = re.search(r"VmHWM:\s*(\d+) kB", status)
        return int(found[1]) * 1024 if found else None

    def _processes(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._browser.send("SystemInfo.getProcessInfo")["processInfo"]
        return found

    def _note(self, message: ConsoleMessage) -> None:
        text = " ".join(message.text.split())
        if message.type in ("error", "warning") and text and not text.startswith(("INFO:", "WARNING:")):
            self._said.append(text)

    def _end(self) -> None:
        self._hung = True
        with suppress(OSError):
            os.kill(self._pid, 9)


@contextmanager
def opened(address: str, model: Path) -> Iterator[Measuring]:
    """A page at ``address`` in a fresh browser, which is ended in any case.

    Raises:
        MissingExtraError: playwright isn't installed.
        StageError: the browser doesn't start.
        DiedError: it ended before the page was there.

    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise MissingExtraError("playwright", "devices", "measuring in a browser") from None
    boxed = os.geteuid() != 0  # Chromium refuses to start as root otherwise
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=program(), args=OPTIONS, chromium_sandbox=boxed, timeout=1e3 * SILENT_S
            )
        except Error as error:
            told = dict.fromkeys(re.findall(r"\[(?:err|out)\] (.*)", error.message))
            said = "; ".join([*told][:SAID]) or error.message.splitlines()[0]
            raise StageError(f"{program()}: can't be started: {said}") from error
        try:
            page = browser.new_page()
            page.set_default_timeout(1e3 * SILENT_S)
            measuring = Measuring(page, browser.new_browser_cdp_session(), model)
            page.goto(address)
            page.wait_for_function("globalThis.edgekd")
            yield measuring
        except KeyboardInterrupt:
            # Playwright's own process has had the same Ctrl-C, and asyncio would tell of each answer that never came.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            raise
        except Error as error:
            raise DiedError(f"{model}: the browser failed: {error.message.splitlines()[0].strip()}", MEMORY) from error
        finally:
            with suppress(Error):  # it may have died
                browser.close()
