"""The manifest's figures of a model file, from the run's report: each with where it comes from, or why it's missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgekd.bundle.manifest import Figure, Model

Row = Mapping[str, Any]
PREDICTED = "90 %"
QUALITY = "95 %"
SHOWN = ("latency", "peak_memory", "energy", "load_time", "first_inference")


def of_model(model: Model, report: Row) -> tuple[Figure, ...]:
    """Quality, then each measurement and prediction of a model file."""
    artifact = f"{model.format}_int8"
    rows = [row for row in report["measurements"] if row["artifact"] == artifact and row["metric"] in SHOWN]
    found = [_quality(report["quality"][artifact], report)]
    for row in sorted(rows, key=lambda row: (SHOWN.index(row["metric"]), row["provenance"])):
        found += _measured(row)
    return tuple(found)


def _quality(row: Row, report: Row) -> Figure:
    told = {"metric": report["metric"], "data": report["data"], "items": f"{row['items']} {report['item']}"}
    bounds = {"lower": row["lower"], "upper": row["upper"], "confidence": QUALITY}
    return Figure(metric="quality", unit="", point=row["value"], provenance="on_host", conditions=told, **bounds)


def _measured(row: Row) -> Iterator[Figure]:
    """One figure, or for a latency two: its median, and what 95 of 100 inferences stay below."""
    plain = {"unit": row["unit"], "provenance": row["provenance"], "conditions": row["conditions"]}
    missing = row["unavailable"]
    names = {"p50": "latency_p50", "p95": "latency_p95"} if row["metric"] == "latency" else {"p50": row["metric"]}
    for statistic, name in names.items():
        bounds = row["intervals"].get(statistic) or row["intervals"].get("value")
        if bounds is not None:
            yield Figure(metric=name, **bounds, confidence=PREDICTED, **plain)
        else:
            why = missing or ("" if row[statistic] is not None else "the report has no value")
            yield Figure(metric=name, point=row[statistic], unavailable=why, **plain)
