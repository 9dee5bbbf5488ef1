"""Learned ranges: those of quantization-aware distillation, with what tells their tensors in an exported file.

Exporters give tensors names of their own, fold and fuse. So a tensor is known by what it holds for a few rows of the
calibration set: its values in order of size, which are the same in any layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekd.artifact import Artifact, Kind
from edgekd.errors import StageError
from edgekd.stages import calibration
from edgekd.stages.base import Context, NoConfig
from edgekd.store import Product
from edgekd.tasks.base import Arrays, one

if TYPE_CHECKING:
    from edgekd.algorithms.ranges import Range

VERSION = 1
CONSUMES = ((Kind.TORCH,), (Kind.CALIBRATION,))
PRODUCES = Kind.RANGES
LIBRARIES = ("torch", "numpy")
READS_DATA = False
Config = NoConfig
ROWS = 4  # by which a tensor is known

Values = Callable[[Arrays], Iterator[Mapping[str, npt.NDArray[Any]]]]  # a file's tensors by name, row by row


def run(inputs: tuple[Artifact, ...], _config: NoConfig, context: Context) -> Product:
    """Write 'ranges' (sites, 2), 'fingerprints' (tensors, rows * points), and 'sites' (tensors,): the range of each."""
    import torch

    from edgekd.algorithms.fingerprints import fingerprint
    from edgekd.models import loading
    from edgekd.models.running import tensors
    from edgekd.models.simulation import Simulation

    torch.set_num_threads(context.threads)
    ranges, (module, _) = loading.learned_ranges(inputs[0].path), loading.load(inputs[0].path)
    seen: list[list[tuple[int, npt.NDArray[Any]]]] = []  # of each row, in the order in which it was computed

    def note(site: int, values: Any) -> Any:
        seen[-1].append((site, fingerprint(values.numpy())))
        return values

    if ranges:
        rows = [tensors(each) for each in _rows(calibration.part(inputs[1], "calibration"))]
        simulation = Simulation(module, rows[0])
        with torch.inference_mode(), simulation.watched(note) as watched:
            for row in rows:
                seen.append([])
                watched(*row)
    sites = [site for site, _ in seen[0]] if seen else []
    known = [np.concatenate([points for _, points in each]) for each in zip(*seen, strict=True)]
    path = context.scratch / "ranges.npz"
    np.savez(path, allow_pickle=False, ranges=np.array(ranges), fingerprints=np.array(known), sites=np.array(sites))
    return Product(path, {"ranges": len(ranges), "summary": f"{len(ranges)} ranges to export"})


def found(inputs: Sequence[Artifact], rows: Arrays, values: Values) -> tuple[dict[str, Range], dict[str, Any]]:
    """Return the learned ranges by the names of a float file's tensors, and facts about them; none without such ranges.

    ``values`` runs the file on rows.

    Raises:
        StageError: there are learned ranges, and no tensor of the file holds what any of theirs held.

    """
    from edgekd.algorithms.fingerprints import fingerprint, matches

    path = next((each.path for each in inputs if each.kind is Kind.RANGES), None)
    if path is None:
        return {}, {}
    with np.load(path) as stored:
        ranges, known, sites = stored["ranges"].tolist(), stored["fingerprints"], stored["sites"].tolist()
    if not ranges:
        return {}, {}
    points: dict[str, list[npt.NDArray[Any]]] = {}
    for row in _rows(rows):
        for name, held in next(values(row)).items():
            points.setdefault(name, []).append(fingerprint(held))
    places = matches(known, {name: np.concatenate(each) for name, each in points.items()})
    if not places:
        raise StageError(
            f"{inputs[0].path}: found none of the {len(ranges)} tensors whose ranges were learned in the exported file",
            "leave the stage 'qat' out",
        )
    by_name = {name: sites[place] for name, place in places.items()}
    facts = {"learned": {"ranges": len(ranges), "exported": len(set(by_name.values())), "tensors": len(by_name)}}
    return {name: (ranges[site][0], ranges[site][1]) for name, site in by_name.items()}, facts


def _rows(rows: Arrays) -> list[Arrays]:
    count = len(next(iter(rows.values())))
    return [one(rows, row) for row in range(min(ROWS, count))]
