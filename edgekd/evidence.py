"""Evidence: the artifacts of one build, read where they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from edgekd.artifact import Artifact, Kind
from edgekd.executor import StepTaken
from edgekd.float_models import final_float
from edgekd.judge import Scores
from edgekd.planning import Plan
from edgekd.profile import saved
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.profile.observed import Observed
from edgekd.runtimes import BY_KIND
from edgekd.runtimes.graph import Graph
from edgekd.targets import is_measured, predicted

FILES = frozenset({Kind.ONNX, Kind.TFLITE})


@dataclass(frozen=True)
class Findings:
    """The artifacts of one build, read where they are needed."""

    plan: Plan
    steps: tuple[StepTaken, ...]

    @cached_property
    def artifacts(self) -> dict[str, Artifact]:
        """Every step's artifact by the step's name."""
        return {step.name: step.artifact for step in self.steps}

    @cached_property
    def files(self) -> dict[str, Artifact]:
        """The model files."""
        return {name: artifact for name, artifact in self.artifacts.items() if artifact.kind in FILES}

    @cached_property
    def graphs(self) -> dict[str, Graph]:
        """What each model file that edgekd made computes; a teacher's own file may have shapes that aren't fixed."""
        ours = {name: each for name, each in self.files.items() if not each.made_by.startswith("foreign")}
        length = self.artifacts["tokenizer"].facts["max_length"] if "tokenizer" in self.artifacts else None
        return {name: BY_KIND[artifact.kind].describe(artifact.path, length) for name, artifact in ours.items()}

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """Outputs and scores of every model that was evaluated."""
        return {name: dict(np.load(artifact.path)) for name, artifact in self._steps_that("evaluate ")}

    @cached_property
    def shifted(self) -> dict[str, Any]:
        """What each item scored under each dose of shift, by model."""
        return {name: dict(np.load(artifact.path)) for name, artifact in self._steps_that("shift ")}

    @cached_property
    def measured(self) -> dict[str, tuple[Measurement, ...]]:
        """What was measured, by artifact: on the device, or on this host."""
        return {name: saved.load(artifact.path) for name, artifact in self._steps_that("profile ")}

    @cached_property
    def observed(self) -> dict[str, Observed]:
        """What was seen of each shipped file beside its figures."""
        found = {name: saved.load_observed(artifact.path) for name, artifact in self._steps_that("profile ")}
        return {name: each for name, each in found.items() if each is not None}

    @cached_property
    def emulated(self) -> tuple[Measurement, ...]:
        """What was measured on an emulated processor, where one was asked for."""
        if "arm64" not in self.artifacts:
            return ()
        return TypeAdapter(tuple[Measurement, ...]).validate_python(self.artifacts["arm64"].facts["measured"])

    @cached_property
    def predicted(self) -> dict[str, tuple[Measurement, ...]]:
        """What is predicted for the device, by artifact; nothing where that isn't possible and it is measured."""
        device = self.plan.device
        if is_measured(device) and (device.is_host or not predicted.can_predict(device)):
            return {}
        return {
            name: predicted.predict(graph, device, name, self.files[name].size_bytes)
            for name, graph in self.graphs.items()
        }

    def scores(self, name: str) -> Scores:
        """What each test item scored."""
        return np.asarray(self.outputs[name]["scores"], np.float64)

    @property
    def scored(self) -> dict[str, Scores]:
        """The same of every model; of the exported float model also as 'student_float', which limits can refer to."""
        scores = {name: self.scores(name) for name in self.outputs}
        return {**scores, "student_float": self.scores(self.float_model)}

    @property
    def references(self) -> dict[str, Scores]:
        """What the models scored that a limit of quality can be relative to."""
        models = {"teacher": "teacher", "student_float": self.float_model}
        return {name: self.scores(model) for name, model in models.items() if model in self.outputs}

    @property
    def judged(self) -> frozenset[Provenance]:
        """What counts as evidence for the device: measured there (for this host, here), or predicted for it."""
        if self.plan.device.is_host:
            return frozenset({Provenance.ON_HOST})
        if self.plan.options.require == Provenance.ON_DEVICE:
            return frozenset({Provenance.ON_DEVICE})
        return frozenset({Provenance.ON_DEVICE, Provenance.PREDICTED})

    @property
    def tested(self) -> Mapping[str, Any]:
        """What the exported float model was scored on: data, metric, item."""
        return self.artifacts[f"evaluate {self.float_model}"].facts

    @property
    def float_model(self) -> str:
        """The name of the float model that was exported."""
        return final_float(self.plan.pipeline)

    @property
    def shipped(self) -> list[str]:
        """The names of the INT8 files."""
        return [name for name in self.files if name.endswith("_int8")]

    def _steps_that(self, prefix: str) -> Iterator[tuple[str, Artifact]]:
        """The artifacts of the steps 'PREFIX NAME', by NAME."""
        for name, artifact in self.artifacts.items():
            if name.startswith(prefix):
                yield name.removeprefix(prefix), artifact
