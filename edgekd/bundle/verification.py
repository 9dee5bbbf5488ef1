"""Verification: what was checked of a bundle, how each check ended, and what follows from it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from edgekd.errors import EXIT_FAIL, EXIT_OK, EXIT_STAGE
from edgekd.units import plural

State = Literal["pass", "fail", "unchecked", "note"]
WIDTH = 80
SHOWN = 5  # details of one check; the JSON has all
WORDS = {EXIT_OK: "PASS", EXIT_FAIL: "FAIL", EXIT_STAGE: "NO RUNTIME"}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the list."""

    name: str
    state: State
    text: str
    details: tuple[str, ...] = ()
    ran: bool = False  # whether golden vectors ran


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of one bundle, in the order in which they were made."""

    bundle: str
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """0: all that could be checked holds; 1: something doesn't match; 3: nothing could be run."""
        if any(check.state == "fail" for check in self.checks):
            return EXIT_FAIL
        return EXIT_OK if any(check.ran for check in self.checks) else EXIT_STAGE

    def json(self) -> str:
        """As a program reads it."""
        found = {"bundle": self.bundle, "exit_code": self.exit_code, "verdict": WORDS[self.exit_code].lower()}
        return json.dumps(found | {"checks": [asdict(check) for check in self.checks]}, indent=1, ensure_ascii=False)

    def lines(self) -> Iterator[str]:
        """As a person reads it."""
        for check in self.checks:
            yield from _wrapped(f"{check.state:<10}{check.name}: {check.text}", 10)
            for detail in check.details[:SHOWN]:
                yield from _wrapped(f"{'':<12}{detail}", 14)
            if len(check.details) > SHOWN:
                yield f"{'':<12}and {len(check.details) - SHOWN} more (--json has them all)"
        yield from _wrapped(f"{WORDS[self.exit_code]}: {self.bundle}: {self._summary()}", 2)

    def _summary(self) -> str:
        count = {state: sum(check.state == state for check in self.checks) for state in ("pass", "fail", "unchecked")}
        missing = f", {count['unchecked']} not checked (see above)" if count["unchecked"] else ""
        if self.exit_code == EXIT_STAGE:
            return f"no runtime is installed for any of its files{missing} (exit code {self.exit_code})"
        told = (
            f"{count['pass']} {'check' if count['pass'] == 1 else plural('check')} met"
            if not count["fail"]
            else f"{count['fail']} failed"
        )
        return f"{told}{missing} (exit code {self.exit_code})"


def _wrapped(line: str, indent: int) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
