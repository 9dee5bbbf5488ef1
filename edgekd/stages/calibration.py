"""Freeze the calibration set: training images only, the same number of each class, prepared as the model takes them."""

from __future__ import annotations

import hashlib
from typing import Annotated

import numpy as np
from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.data.splits import split_training, stratified
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 1
CONSUMES: tuple[tuple[Kind, ...], ...] = ()
PRODUCES = Kind.CALIBRATION
LIBRARIES = ("numpy",)
READS_DATA = True


class Config(Frozen):
    """How many images set the ranges. The selection rows, apart from these, choose between methods."""

    samples: Annotated[int, Field(ge=1)] = 300


def run(_inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write the rows and the prepared inputs (N, 3, H, W) of both parts."""
    from edgekd.tasks import image_classification

    data = context.data.set
    rows = split_training(data.train.labels, context.data.config.selection, len(data.classes), context.seed)
    drawn = rows.fit[stratified(data.train.labels[rows.fit], config.samples, len(data.classes), context.seed)]
    path = context.scratch / "calibration.npz"
    parts = {
        "calibration": image_classification.prepare(data.train.images[drawn]),
        "held_out": image_classification.prepare(data.train.images[rows.selection]),
    }
    np.savez(path, allow_pickle=False, calibration_rows=drawn, held_out_rows=rows.selection, **parts)
    digest = hashlib.sha256(parts["calibration"].tobytes()).hexdigest()
    facts = {"samples": len(drawn), "held_out": len(rows.selection), "classes": len(data.classes), "digest": digest}
    return Product(path, {**facts, "summary": f"{len(drawn)} training images, sha256 {digest[:12]}"})
