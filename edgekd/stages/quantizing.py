"""What both quantizers share: options, and choosing the method whose outputs stay closest to the float model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from edgekd.algorithms.agreement import Agreement, agreement
from edgekd.artifact import Artifact
from edgekd.errors import BadInputError, nearest
from edgekd.runtimes.feeding import single_rows
from edgekd.stages import calibration
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

Method = Literal["auto", "min-max", "percentile", "entropy", "moving-average", "mse", "dynamic", "smoothed"]
Isa = Literal["arm64", "x86-vnni", "x86"]


class QuantizeConfig(Frozen):
    """Options of a quantizer: the method that sets the ranges, and the instruction set that will run the file."""

    method: Method = "auto"
    isa: Isa


def choose(
    methods: Mapping[str, Callable[[Path], None]],
    runner: Callable[..., Any],
    inputs: tuple[Artifact, ...],
    context: Context,
) -> Product:
    """Quantize with each of ``methods``, and keep the file with the best cosine to the float model on held-out rows.

    Every candidate's agreement stands in the facts.
    """
    held_out = list(single_rows([calibration.part(inputs[1], "held_out")]))
    reference = runner(inputs[0].path, context.threads).run(held_out)
    candidates: dict[str, tuple[Path, Agreement]] = {}
    for number, (name, quantize) in enumerate(methods.items(), 1):
        path = context.scratch / f"{name}{inputs[0].path.suffix}"
        quantize(path)
        candidates[name] = path, agreement(reference, runner(path, context.threads).run(held_out))
        context.progressed(number, len(methods), name)
    best = max(candidates, key=lambda name: candidates[name][1].cosine)
    path, closeness = candidates[best]
    facts = {
        "method": best,
        "candidates": {name: asdict(found) for name, (_, found) in candidates.items()},
        "held_out": len(held_out),
        "summary": f"{best}, cosine {closeness.cosine:.5f} to float on {len(held_out)} held-out rows",
    }
    return Product(path.rename(context.scratch / f"model{path.suffix}"), facts)


def methods_for(wanted: Method, known: Mapping[str, Callable[[Path], None]], runtime: str) -> Mapping[str, Any]:
    """All of ``known``, or the one that the pipeline names.

    Raises:
        BadInputError: this runtime's quantizer has no such method.

    """
    if wanted == "auto":
        return known
    if wanted not in known:
        raise BadInputError(f"quantize: found the method {wanted!r} for {runtime}", nearest(wanted, known))
    return {wanted: known[wanted]}
