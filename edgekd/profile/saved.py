"""Measurements on disk: raw values as arrays, the rest as JSON, in one .npz file; what was observed with them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from edgekd.profile.measurement import Interval, Measurement, Provenance
from edgekd.profile.observed import Observed

FORMAT = 1


def save(measurements: tuple[Measurement, ...], path: Path, observed: Observed | None = None) -> Path:
    """Write ``measurements``, and what was ``observed``, to ``path`` (.npz)."""
    described = []
    arrays: dict[str, np.ndarray[Any, np.dtype[Any]]] = {}
    for number, measurement in enumerate(measurements):
        fields = asdict(measurement)
        arrays[f"values_{number}"] = np.asarray(fields.pop("values"), np.float64)
        arrays[f"warmups_{number}"] = np.asarray(fields.pop("warmups"), np.float64)
        described.append(fields)
    text = json.dumps({"format": FORMAT, "measurements": described})
    if observed is not None:
        arrays["observed"] = np.array(json.dumps(asdict(observed)))
    np.savez(path, allow_pickle=False, described=np.array(text), **arrays)
    return path


def load(path: Path) -> tuple[Measurement, ...]:
    """Read what ``save`` wrote."""
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        described = json.loads(str(file["described"]))["measurements"]
        return tuple(
            Measurement(
                **{
                    **fields,
                    "provenance": Provenance(fields["provenance"]),
                    "predicted": {name: Interval(**bounds) for name, bounds in fields["predicted"].items()},
                },
                values=tuple(file[f"values_{number}"].tolist()),
                warmups=tuple(file[f"warmups_{number}"].tolist()),
            )
            for number, fields in enumerate(described)
        )


def load_observed(path: Path) -> Observed | None:
    """What was observed, of the same file; None where nothing was, or an older edgekd wrote it."""
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return TypeAdapter(Observed).validate_json(str(file["observed"])) if "observed" in file.files else None
