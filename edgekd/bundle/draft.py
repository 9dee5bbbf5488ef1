"""What the build makes for a bundle: finished model files, golden vectors, labels, tokenizer, the manifest's facts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import __version__
from edgekd.bundle import labels, least_versions, licences, preprocessing, tensors
from edgekd.bundle.finishing import finished
from edgekd.bundle.golden import INDEX
from edgekd.bundle.golden_rows import golden_rows
from edgekd.bundle.inputs import DRAFT
from edgekd.bundle.manifest import Golden, Licence, Manifest, Model, Place, Tensor, text
from edgekd.bundle.vectors import Vectors
from edgekd.runtimes import for_file
from edgekd.tasks.base import Outputs, Task

UNIT = 1e-3  # how far from 1 the length of a vector may be that counts as normalised


@dataclass(frozen=True, slots=True)
class Asked:
    """What the plan knows of a bundle."""

    name: str
    device: str
    task: str
    isa: str
    items: int
    licences: tuple[Licence, ...]
    made_on: str
    resized: bool  # whether images were brought to their size
    temperatures: Mapping[Place, float]
    in_graph: bool = False  # the ONNX file takes an image's bytes


@dataclass(frozen=True)
class Draft:
    """The files of a bundle, as far as they don't depend on what is measured."""

    task: Task
    asked: Asked
    seed: int
    scratch: Path

    def files(self, measured: Mapping[Place, Path]) -> dict[str, bytes]:
        """All of them, with the draft of the manifest, for the model files as they were measured."""
        assets = self._assets()
        rows = golden_rows(self.task.count("test"), self.task.test_labels, self.asked.items, self.seed)
        models = [self._model(name, path) for name, path in measured.items()]
        normalised = _are_unit(self.task, Vectors(self.task, rows).write(measured, self.asked.made_on))
        manifest = self._manifest(models, len(rows), assets, normalised=normalised)
        shipped = {}
        for name, path in measured.items():
            shipped[name] = self.scratch / name
            shipped[name].write_bytes(finished(path, name, manifest, assets))
        vectors = Vectors(self.task, rows)
        vectors.write(shipped, self.asked.made_on)
        final = [self._finished(each, shipped[each.file]) for each in models]
        manifest = manifest.model_copy(update={"models": tuple(final)})
        made = {name: path.read_bytes() for name, path in shipped.items()}
        return {**assets, **vectors.files, **made, DRAFT: text(manifest).encode()}

    def _assets(self) -> dict[Place, bytes]:
        known = licences.files(self.asked.licences)
        return {**labels.files(self.task.classes), **preprocessing.text_files(self.task), **known}

    def _model(self, name: Place, path: Path) -> Model:
        digest = _sha256(path)
        return Model.model_validate(
            {
                "file": name,
                "format": path.suffix[1:],
                "sha256": digest,
                "size_bytes": path.stat().st_size,
                "measured_sha256": digest,
                "isa": self.asked.isa,
                **self._tensors(path),
                "minimum": (),
                "figures": (),
            }
        )

    def _tensors(self, path: Path) -> dict[str, tuple[Tensor, ...]]:
        runner = for_file(path).Runner(path, 1)
        return {
            "inputs": tuple(tensors.taken(each, self.task) for each in runner.takes),
            "outputs": tuple(tensors.given(each, self.task) for each in runner.gives),
        }

    def _finished(self, measured: Model, path: Path) -> Model:
        """What is shipped at ``path`` for a measured file: its tensors have other names."""
        of_file = {"measured_sha256": measured.sha256, "minimum": least_versions.minimum(path)}
        return self._model(measured.file, path).model_copy(update=of_file)

    def _manifest(
        self, models: Sequence[Model], count: int, assets: Mapping[Place, bytes], *, normalised: bool
    ) -> Manifest:
        asked = self.asked
        inside = tuple(each.file for each in models if asked.in_graph and each.format == "onnx")
        listed = labels.JSON if labels.JSON in assets else None
        return Manifest(
            edgekd_version=__version__,
            name=asked.name,
            device=asked.device,
            task=asked.task,
            verdict="inconclusive",  # until the run is judged
            models=tuple(models),
            preprocessing=preprocessing.preprocessing(self.task, models, resized=asked.resized, in_graph=inside),
            postprocessing=preprocessing.postprocessing(self.task, listed, asked.temperatures, unit=normalised),
            golden=Golden(index=INDEX, count=count),
            licences=asked.licences,
        )


def _are_unit(task: Task, outputs: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    """Whether every vector has length 1."""
    if task.outputs is Outputs.LOGITS:
        return False
    vectors = (next(iter(each.values())) for given in outputs.values() for each in given)
    return all(abs(float(np.linalg.norm(each.astype(np.float64))) - 1) <= UNIT for each in vectors)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
