"""Measurements on disk: raw values as arrays, the rest as JSON, in one .npz file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edgekd.profile.measurement import Interval, Measurement, Provenance

FORMAT = 1


def save(measurements: tuple[Measurement, ...], path: Path) -> Path:
    """Write ``measurements`` to ``path`` (.npz)."""
    described = []
    arrays: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for number, measurement in enumerate(measurements):
        fields = asdict(measurement)
        arrays[f"values_{number}"] = np.asarray(fields.pop("values"), np.float64)
        arrays[f"warmups_{number}"] = np.asarray(fields.pop("warmups"), np.float64)
        described.append(fields)
    text = json.dumps({"format": FORMAT, "measurements": described})
    np.savez(path, allow_pickle=False, described=np.array(text), **arrays)
    return path


def load(path: Path) -> tuple[Measurement, ...]:
    """Read what ``save`` wrote."""
    with np.load(path, allow_pickle=False) as file:
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
