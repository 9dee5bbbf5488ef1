"""The teacher's outputs for every view of every fitted training row: computed once, in shards, then reused."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgekd.artifact import Artifact, Kind
from edgekd.data.views import AugmentConfig
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.toml_file import Frozen

VERSION = 2
CONSUMES = ((Kind.TORCH, Kind.ONNX, Kind.TFLITE, Kind.KERAS, Kind.TABLE),)
PRODUCES = Kind.OUTPUTS
LIBRARIES = ("numpy",)  # and the config's
READS_DATA = True


class CacheConfig(Frozen):
    """The [teacher_outputs] table: how a teacher's outputs are kept."""

    precision: str = Field("float16", pattern="^float(16|32)$")
    top_k: Annotated[int | None, Field(ge=1)] = None  # keep the largest logits and the sum of the rest
    shard_rows: Annotated[int, Field(ge=1)] = 4096


class Config(CacheConfig):
    """The same, with the views that the teacher sees (the student sees the same) and several teachers' weights."""

    augment: AugmentConfig = AugmentConfig()
    shares: tuple[float, ...] = ()
    runtimes: tuple[str, ...] = ()  # what runs the teachers, as 'NAME==VERSION': it depends on their forms


def run(inputs: tuple[Artifact, ...], config: Config, context: Context) -> Product:
    """Write the outputs as ``edgekd.models.cached_outputs`` lays them out; a shard that is there already is kept."""
    from edgekd import processes
    from edgekd.models import cached_outputs
    from edgekd.models.predicting import open_models

    task = context.task(inputs).augmented(config.augment)
    rows, model = task.rows(context.seed), open_models(inputs, config.shares, context.threads)
    layout = cached_outputs.Layout(config.precision, config.top_k)  # type: ignore[arg-type]  # the pattern says so
    total = config.augment.views * len(rows.fit) + len(rows.selection)
    shards = cached_outputs.Shards(context.partial / "shards", total, config.shard_rows)

    def made(positions: cached_outputs.Rows, view: int) -> cached_outputs.Floats:
        chosen = rows.selection[positions] if view == -1 else rows.fit[positions]
        return model.outputs(task, "train", chosen, max(view, 0))

    missing = shards.missing()
    processes.wait()  # until all have looked: each then takes its share of the same list
    for number in processes.share(missing):
        outputs = cached_outputs.each_row(made, shards.span(number), len(rows.fit), config.augment.views)
        shards.keep(number, outputs, layout.pack(outputs))
        context.progressed(number + 1, len(shards), "")
    processes.wait()
    path = context.scratch / "outputs.npy"
    if processes.is_main():
        shards.join(path)
    width, error = shards.width_and_error()
    facts = {
        "augment": config.augment.model_dump(),
        "views": config.augment.views,
        "fitted": len(rows.fit),
        "width": width,
        "precision": config.precision,
        "largest_rounding_error": error,
    }
    kept = f"{config.augment.views} views of {len(rows.fit):,} {task.row}s"
    summary = f"{kept}, {config.precision}, error {error:.2g} at most"
    return Product(path, {**facts, "summary": summary})
