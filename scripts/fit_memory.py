"""Fit what a model file adds to a process' peak memory, to the rows that ``scripts/measure_memory.py`` measured.

    python scripts/fit_memory.py [--check]

reads ``scripts/data/host_memory_rows.csv`` and writes ``edgekd/targets/memory_model.json``. For each runtime

    peak - base = constant + sum of (bytes of a feature * cost)

with costs that aren't negative, by least squares on relative errors; every family counts once. The factor of the 90 %
interval comes from families left out of the fit. Which features count was chosen on the same rows: a cost for each
operator made families left out worse, and was dropped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from fitted_file import write_or_check
from memory_rows import ROWS, Row, read
from scipy.optimize import nnls  # type: ignore[import-untyped]

from edgekd.algorithms.transfer import coverage, widening
from edgekd.targets.memory import COSTS, MODEL, RuntimeMemory

RUNTIMES = ("onnxruntime", "tflite")
BASIS = (
    "measured on x86-64 Linux (Xeon, kernel 6.18) with onnxruntime 1.31.1 and ai-edge-litert 2.3.0: VmHWM of fresh "
    "processes less that before loading. Files were copied before they were mapped"
)


def fitted(rows: Sequence[Row], factor: float = 1.0) -> RuntimeMemory:
    """The costs for rows of one runtime."""
    families = Counter(row.family for row in rows)
    added = np.array([row.peak - row.base for row in rows])
    weight = np.array([families[row.family] ** -0.5 for row in rows]) / added
    features = [[1e6, *(getattr(row.work, name) for name in COSTS)] for row in rows]
    matrix = np.array(features) * weight[:, None]
    scale = np.maximum(matrix.max(0), 1e-30)
    solved: npt.NDArray[np.float64] = nnls(matrix / scale, added * weight)[0] / scale
    costs = {name: round(float(cost), 4) for name, cost in zip(COSTS, solved[1:], strict=True)}
    return RuntimeMemory(constant=round(float(solved[0]) * 1e6), per=costs, factor=factor)


def left_out(rows: Sequence[Row]) -> dict[str, list[float]]:
    """log(measured / predicted) of what is added, by family, each of which was left out of the fit."""
    found = {}
    for family in sorted({row.family for row in rows}):
        model = fitted([row for row in rows if row.family != family])
        own = [row for row in rows if row.family == family]
        found[family] = [math.log((row.peak - row.base) / model.added(row.work).point) for row in own]
    return found


def fit(rows: Sequence[Row]) -> dict[str, object]:
    """The whole model file."""
    runtimes, errors = {}, {}
    for runtime in RUNTIMES:
        own = [row for row in rows if row.work.runtime == runtime]
        scores = left_out(own)
        runtimes[runtime] = fitted(own, round(math.exp(widening(scores)), 3)).model_dump()
        errors[runtime] = {
            "families": {family: _described(each) for family, each in scores.items()},
            "coverage": round(coverage(scores), 3),
        }
    return {"runtimes": runtimes, "left_out": errors, "rows": len(rows), "basis": BASIS}


def _described(errors: Sequence[float]) -> dict[str, float]:
    middle = float(np.median(np.abs(errors)))
    return {"rows": len(errors), "median_error": round(math.expm1(middle), 3)}


if __name__ == "__main__":
    write_or_check(lambda: fit(read()), MODEL, ROWS, "Fit the shipped memory model from measured rows.")
