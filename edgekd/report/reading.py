"""Read a report.json again, or what profile --json printed: of this version or an older one; newer ones are refused."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgekd import units
from edgekd.errors import BadInputError
from edgekd.report.model import FORMAT_VERSION, MeasurementRow, Report

NAME = "report.json"
PROFILE_VERSION = 1  # of what profile --json prints
UNTIL_2: dict[str, Any] = {"item": "item", "figures": [], "class_changes": [], "shifts": []}  # what version 1 lacks
UNTIL_3: dict[str, Any] = {"candidates": []}  # what version 2 lacks, or has as another kind of row
LIMIT = re.compile(r"[<>]=? ([\d.e-]+) ?([^\s\d]*)(?: of \w+)?\Z")  # 'latency_p95 < 100 ms', 'top1 to x >= 0.95'


@dataclass(frozen=True, slots=True)
class Profiled:
    """What profile --json printed, as far as it is used again."""

    device: str
    file: str
    threads: int
    measurements: tuple[MeasurementRow, ...]


def read(path: Path) -> Report:
    """Read the report at ``path``, or the one in that run folder.

    Raises:
        BadInputError: no such file, one that isn't a report, or one that a newer edgekd wrote.

    """
    file = path / NAME if path.is_dir() else path
    return _report(_parsed(file), file)


def read_measured(path: Path) -> tuple[Path, Report | Profiled]:
    """The same, or what profile --json printed, with the file that it was.

    Raises:
        BadInputError: neither of them, or written by a newer edgekd.

    """
    file = path / NAME if path.is_dir() else path
    found = _parsed(file)
    is_profile = isinstance(found, dict) and "plan" in found and "file" in found
    return file, _profiled(found, file) if is_profile else _report(found, file)


def _parsed(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(
            f"{file}: found no report: {error.strerror or error}", "name a report.json or the folder of a run"
        ) from error
    except ValueError as error:
        raise BadInputError(
            f"{file}: found a file that isn't JSON: {error}", "name the report.json of a run"
        ) from error


def _report(found: Any, file: Path) -> Report:
    report: Report = _checked(Report, _upgraded(found, file), file)
    return report


def _profiled(found: dict[str, Any], file: Path) -> Profiled:
    version = found.get("format_version")
    if version != PROFILE_VERSION:
        raise BadInputError(
            f"{file}: found figures of profile in the format {version!r}, expected {PROFILE_VERSION}",
            "install the edgekd that printed them, or profile again",
        )
    plan = found["plan"] if isinstance(found["plan"], dict) else {}
    fields = {name: found.get(name) for name in ("device", "file", "measurements")}
    profiled: Profiled = _checked(Profiled, {**fields, "threads": plan.get("threads")}, file)
    return profiled


def _upgraded(found: Any, file: Path) -> dict[str, Any]:
    """The fields of this version."""
    version = found.get("format_version") if isinstance(found, dict) else None
    if type(version) is not int or version < 1:
        raise BadInputError(f"{file}: found no format_version, expected a report of edgekd", "name a run's report.json")
    if version > FORMAT_VERSION:
        raise BadInputError(
            f"{file}: found a report of the format {version}, by edgekd {found.get('edgekd_version', '?')}; "
            f"this edgekd reads formats up to {FORMAT_VERSION}",
            "install that version of edgekd or a newer one",
        )
    if version < 2:
        found = {**UNTIL_2, **found}
    if version < 3:
        found = {**found, **UNTIL_3}
    checks = found.get("checks")
    return {**found, "checks": [_with_bound(check) for check in checks]} if isinstance(checks, list) else dict(found)


def _with_bound(check: Any) -> Any:
    """A check of an older edgekd has its limit as text alone, with three digits."""
    if not isinstance(check, dict) or "bound" in check:
        return check
    rule, dimension = LIMIT.search(str(check.get("limit"))), str(check.get("unit") or "count")
    if rule is None or dimension not in units.SCALES:
        return check
    number, unit = rule.groups()
    return {**check, "bound": units.parse(f"{number} {unit}", dimension, "limit")}


def _checked(kind: type[Any], found: dict[str, Any], file: Path) -> Any:
    try:
        return TypeAdapter(kind).validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInputError(f"{file}: {place}: {first['msg']}", "the file was changed after edgekd wrote it") from error
