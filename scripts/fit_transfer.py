"""Fit the model that carries published latencies over to other devices and networks.

    OMP_NUM_THREADS=1 python scripts/fit_transfer.py [--check]

reads ``scripts/data/published_tables.csv``. For each precision it chooses the costs of a
network's work and the variances of ``edgekd.targets.transfer.SHAPES`` under which the rows are most probable (the logs
of the parameters have a wide normal prior around where the search starts). It writes all fits to
``scripts/data/transfer_fits.json``, and those that edgekd ships into the package with the rows of one thread. Variances
are fitted to at most FIT_ROWS rows and costs to COST_ROWS, drawn at random.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize  # type: ignore[import-untyped]

from edgekd.algorithms.transfer import Array, Term, agreement
from edgekd.targets.transfer import MODEL, ROWS, SHAPES, Costs, Group, Published, read_rows, sample_of
from edgekd.targets.transfer_errors import LeftOut, summarize

DATA = Path(__file__).parent / "data"
TABLES, FITS = DATA / "published_tables.csv", DATA / "transfer_fits.json"
START = {
    "int8": Costs(
        depthwise=20.0,
        wide=1.0,
        winograd=0.8,
        unpacked=1.0,
        weight=1.0,
        value=25.0,
        read=10.0,
        transformed=15.0,
        operator_cycles=48e3,
    ),
    "float": Costs(
        depthwise=8.0,
        wide=1.0,
        winograd=0.5,
        unpacked=1.0,
        weight=3.0,
        value=7.0,
        read=3.0,
        transformed=15.0,
        operator_cycles=30e3,
    ),
}
COST_ROWS, FIT_ROWS, SEED = 450, 900, 7
NOISE = 0.05  # the standard deviation in log from which the search starts
LOOSENESS = 2.5  # standard deviation of the prior of a log variance
SHIPPED = ("int8", "float")
MIN_CHIPS = 4


def group_of(row: Published) -> str:
    """The rows that are fitted together: those of a precision, whatever the number of threads."""
    if row.engine.startswith("aihub"):
        return f"{row.engine} {row.precision}"
    return "float" if row.precision == "fp16" else row.precision


def grouped(rows: Sequence[Published]) -> dict[str, list[Published]]:
    found: dict[str, list[Published]] = defaultdict(list)
    for row in rows:
        found[group_of(row)].append(row)
    return {name: each for name, each in found.items() if len({row.place.chip for row in each}) >= MIN_CHIPS}


class Likelihood:
    """How improbable the rows are under given variances."""

    def __init__(self, rows: Sequence[Published], costs: Costs) -> None:
        samples = [sample_of(row, costs) for row in rows]
        self.rest = np.array([math.log(row.latency_s) for row in rows]) - np.array([each.prior for each in samples])
        parts = [agreement(samples, samples, Term(name, keys, kind, 1.0)) for name, (keys, kind, _) in SHAPES.items()]
        self.parts = np.array([*parts, np.eye(len(rows))])

    def value(self, logs: Array) -> tuple[float, Array]:
        """The negative logarithm and its gradient, the prior included."""
        variances = np.exp(logs)
        within = np.tensordot(variances, self.parts, 1) + 1e-8 * np.eye(len(self.rest))
        sign, determinant = np.linalg.slogdet(within)
        inverse = np.linalg.inv(within)
        weights = inverse @ self.rest
        slope = np.outer(weights, weights) - inverse
        away = (logs - start()) / LOOSENESS
        value = (self.rest @ weights + sign * determinant + away @ away) / 2
        return float(value), -variances * np.einsum("ij,kij->k", slope, self.parts) / 2 + away / LOOSENESS


def start() -> Array:
    deviations = [deviation for _, _, deviation in SHAPES.values()]
    return np.array([2 * math.log(each) for each in (*deviations, NOISE)])


def fit_variances(rows: Sequence[Published], costs: Costs, steps: int = 30) -> Array:
    options, within = {"maxiter": steps}, [(-14.0, 4.0)] * (len(SHAPES) + 1)
    found = minimize(
        Likelihood(rows, costs).value, start(), jac=True, method="L-BFGS-B", bounds=within, options=options
    )
    return np.asarray(found.x)


def drawn(rows: Sequence[Published], most: int) -> list[Published]:
    """At most so many of the rows, because the search takes the cube of their number."""
    indices = np.random.default_rng(SEED).permutation(len(rows))[:most]
    return [rows[index] for index in sorted(indices)]


def fit_costs(rows: Sequence[Published], first: Costs) -> Costs:
    """Search the costs by the likelihood, with the variances that suit where the search starts."""
    chosen = drawn([row for row in rows if row.load and row.threads == "1"], COST_ROWS)
    logs = fit_variances(chosen, first, 20)
    names, origin = list(Costs.model_fields), np.log(list(first.model_dump().values()))

    def improbable(place: Array) -> float:
        costs = Costs(**dict(zip(names, np.exp(place).tolist(), strict=True)))
        return Likelihood(chosen, costs).value(logs)[0] + float(((place - origin) ** 2).sum()) / 2

    simplex = np.vstack([origin, *(origin + 0.5 * np.eye(len(names)))])
    options = {"maxfev": 120, "initial_simplex": simplex}
    found = np.exp(minimize(improbable, origin, method="Nelder-Mead", options=options).x)
    return Costs(**{name: float(f"{value:.4g}") for name, value in zip(names, found, strict=True)})


def fit_group(rows: Sequence[Published], costs: Costs) -> Group:
    """The fit of one group, without widening."""
    logs = fit_variances(drawn(rows, FIT_ROWS), costs)
    variances = dict(zip(SHAPES, np.exp(logs[:-1]).tolist(), strict=True))
    return Group(
        costs=costs,
        variances={each: float(f"{value:.4g}") for each, value in variances.items()},
        noise=float(f"{math.exp(logs[-1]):.4g}"),
        widening={},
    )


def fit(name: str, rows: Sequence[Published], costs: Costs) -> Group:
    group = fit_group(rows, costs)
    return with_widening(rows, group) if name in SHIPPED else group


def with_widening(rows: Sequence[Published], group: Group) -> Group:
    """How wide intervals must be for a program, a chip and a family that are not among the rows."""
    plain, anchored = LeftOut([row for row in rows if row.threads == "1"], group).new_program()
    known = {"unseen program": summarize(plain), "one anchor": summarize(anchored)}
    for case, summary in known.items():
        print(f"  {case}: {summary}", flush=True)
    return group.model_copy(update={"widening": {case: round(each.widening, 3) for case, each in known.items()}})


def fit_all() -> dict[str, Group]:
    groups, fits = grouped(read_rows(TABLES)), {}
    costs = {kind: fit_costs(groups[kind], START[kind]) for kind in START}
    for name, rows in groups.items():
        kind = "int8" if "int8" in name or "w8" in name else "float"
        fits[name] = fit(name, rows, costs[kind])
        print(f"{name}: {len(rows)} rows", flush=True)
    return fits


def widened() -> dict[str, Group]:
    fits = {name: Group.model_validate(each) for name, each in json.loads(FITS.read_text(encoding="utf-8")).items()}
    rows = grouped(read_rows(TABLES))
    return {**fits, **{name: with_widening(rows[name], fits[name]) for name in SHIPPED}}


def write(fits: dict[str, Group]) -> None:
    texts = {name: each.model_dump() for name, each in fits.items()}
    FITS.write_text(json.dumps(texts, indent=1) + "\n", encoding="utf-8")
    shipped = {name: each for name, each in texts.items() if name in SHIPPED}
    MODEL.write_text(json.dumps(shipped, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {FITS.name} and {MODEL.name}")


def ship_rows() -> str:
    """The rows of the shipped groups, as a table."""
    with TABLES.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    keep = [each for each in records if each["threads"] == "1" and not each["engine"].startswith("aihub")]
    lines = [",".join(records[0])]
    lines += [",".join(f'"{value}"' if "," in value else value for value in each.values()) for each in keep]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the model that carries published latencies over.")
    parser.add_argument("--widening", action="store_true", help="keep the fits, and measure their errors anew")
    parser.add_argument("--check", action="store_true", help="fail if the shipped rows are not those of the tables")
    given = parser.parse_args()
    if not given.check:
        ROWS.write_text(ship_rows(), encoding="utf-8")
        write(widened() if given.widening else fit_all())
    elif ROWS.read_text(encoding="utf-8") != ship_rows():
        raise SystemExit(f"{ROWS} is not what {TABLES.name} gives: run scripts/fit_transfer.py")


if __name__ == "__main__":
    main()
