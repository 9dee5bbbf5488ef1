"""Anchors: latencies that somebody measured on a device, by which predictions for other files there get narrower."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.device import Device
from edgekd.errors import BadInputError
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.graph import Graph
from edgekd.targets.load import Load, load_of

if TYPE_CHECKING:
    from edgekd.report.model import MeasurementRow, Report
    from edgekd.report.reading import Profiled

MEASURED = "on_device"
FORMATS = {".onnx": "onnxruntime", ".tflite": "tflite"}


@dataclass(frozen=True, slots=True)
class Anchor:
    """The median latency of one file, with the work that it is."""

    artifact: str
    runtime: str
    precision: str
    threads: int
    load: Load
    p50_s: float
    source: str


def file_of(device: Device) -> Path:
    """Where the anchors of ``device`` are kept: beside your own device files, never in the package."""
    return Path("devices") / f"{device.name}.anchors.json"


def read(device: Device) -> tuple[Anchor, ...]:
    """The anchors of ``device``; none where it was never calibrated.

    Raises:
        BadInputError: the file isn't one that ``edgekd devices calibrate`` wrote.

    """
    path = file_of(device)
    if not path.is_file():
        return ()
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["anchors"]
        return tuple(Anchor(**{**row, "load": Load(**row["load"])}) for row in rows)
    except (ValueError, TypeError, KeyError) as error:
        raise BadInputError(
            f"{path}: found no anchors that can be read ({error})", "delete it and calibrate the device again"
        ) from error


def digest(device: Device) -> str:
    """Names the anchors of ``device`` in the store's keys; '' without any."""
    path = file_of(device)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""


def write(device: Device, found: tuple[Anchor, ...]) -> Path:
    """Keep ``found`` and what there was; a file that was measured again replaces its own row."""
    kept = {(each.artifact, each.runtime, each.precision, each.threads): each for each in (*read(device), *found)}
    path = file_of(device)
    path.parent.mkdir(exist_ok=True)
    rows = [asdict(each) for each in kept.values()]
    path.write_text(json.dumps({"format_version": 1, "anchors": rows}, indent=1) + "\n", encoding="utf-8")
    return path


def usable(anchor: Anchor, runtime: str, precision: str) -> bool:
    """Whether it says something of one thread of this runtime in this precision."""
    return (anchor.runtime, anchor.precision, anchor.threads) == (runtime, precision, 1)


def of_reports(paths: Sequence[Path], device: Device) -> tuple[Anchor, ...]:
    """The latencies that runs, their report.json or what ``edgekd profile --json`` printed have of ``device``.

    Raises:
        BadInputError: one isn't such a file, has no latency that was measured on the device, or is of another device.

    """
    return tuple(anchor for path in paths for anchor in of_report(path, device))


def of_report(path: Path, device: Device) -> tuple[Anchor, ...]:
    """The same of one of them."""
    from edgekd.report import reading

    path, found = reading.read_measured(path)
    if found.device != device.name:
        raise BadInputError(
            f"{path}: found measurements for {found.device!r}, expected those of {device.name!r}",
            "calibrate the device that was measured",
        )
    anchors = tuple(_anchor(row, found, path) for row in found.measurements if _is_measured(row))
    if not anchors:
        raise BadInputError(
            f"{path}: found no latency with the provenance {MEASURED!r}, expected one measured on {device.title}",
            "give the device file a [reach] table and build or profile there: docs/devices.md",
        )
    return anchors


def _is_measured(row: MeasurementRow) -> bool:
    return (row.metric, row.provenance) == ("latency", MEASURED) and row.p50 is not None


def _anchor(row: MeasurementRow, found: Report | Profiled, path: Path) -> Anchor:
    graph = _graph(_file(row, found, path), path)
    threads = row.conditions.get("threads")
    return Anchor(
        artifact=row.artifact,
        runtime=graph.runtime,
        precision=precision_of(graph),
        threads=int(threads) if threads else getattr(found, "threads", 1),
        load=load_of(graph),
        p50_s=float(row.p50 or 0),
        source=str(path),
    )


def _file(row: MeasurementRow, found: Report | Profiled, path: Path) -> Path:
    """The file that was measured: beside its report, or where profile ran."""
    listed = getattr(found, "artifacts", ())
    beside = (path.parent / each.path for each in listed if Path(each.path).name == row.artifact)
    return next(beside, Path(getattr(found, "file", row.artifact)))


def _graph(file: Path, path: Path) -> Graph:
    if file.suffix not in FORMATS or not file.is_file():
        raise BadInputError(
            f"{path}: found no file {file}, expected the one that was measured, to count its work",
            "keep the report beside its files, or run this where edgekd profile ran",
        )
    graph: Graph = RUNTIMES[FORMATS[file.suffix]].describe(file, None)
    return graph


def precision_of(graph: Graph) -> str:
    """Whichever does more of the work."""
    return "int8" if graph.int8_share >= 0.5 else "float"
