"""Float models: the steps that make them, from the student before any training to the one that is exported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.device import Device
from edgekd.node import Node
from edgekd.objectives.table import parse
from edgekd.origins import Origins
from edgekd.pipeline import Pipeline
from edgekd.profile.conditions import host_fingerprint
from edgekd.stages import STAGES, distill, prune, race, small_start, smaller, teacher_outputs
from edgekd.targets.predicted import can_predict

TRAINING = ("distill", "prune", "finetune", "qat")
LABELS_ALONE = parse([{"use": "labels"}])


def float_names(pipeline: Pipeline) -> dict[str, str]:
    """The float models that training steps give, by the step, in order; the last one is 'student_float'.

    >>> from edgekd.pipeline import load
    >>> float_names(load("default"))
    {'distill': 'student_unpruned', 'prune': 'student_float'}
    """
    steps = [use for use in TRAINING if pipeline.step(use) is not None]
    before = {"prune": "student_pruned", "finetune": "student_finetuned"}
    before["distill"] = "student_unpruned" if "prune" in steps else "student_distilled"
    return {use: "student_float" if use == steps[-1] else before[use] for use in steps}


def final_float(pipeline: Pipeline) -> str:
    """The float model that is exported: the last student, or the teacher itself."""
    return next(reversed(float_names(pipeline).values()), "teacher")


@dataclass(frozen=True)
class FloatModels:
    """The steps between what the user brings and the model that is exported."""

    pipeline: Pipeline
    device: Device
    origins: Origins
    control: bool  # whether a student is trained on labels alone beside the distilled one, where there are any

    def steps(self) -> Iterator[Node]:
        """The teacher's outputs where a step takes them, the student's start, then what each training step makes."""
        names = float_names(self.pipeline)
        if self._reads_outputs(names):
            yield self._outputs()
        start = "teacher"
        if "distill" in names:
            start = "student_start"
            yield from self._student_start()
        for use, name in names.items():
            yield from self._trained(use, name, start)
            start = name

    @property
    def references(self) -> tuple[str, ...]:
        """What the distilled student is compared with: itself untrained, and trained on labels alone."""
        if self.pipeline.step("distill") is None:
            return ()
        return ("student_cut",) * self._fitted + ("student_start",) + ("control",) * self._has_control

    @property
    def _has_control(self) -> bool:
        return self.control and self.pipeline.has_labels

    def _outputs(self) -> Node:
        """What the teachers give, kept for all steps."""
        config = teacher_outputs.Config(
            **self.pipeline.teacher_outputs.model_dump(),
            augment=self.pipeline.augment,
            shares=self.origins.weights,
            runtimes=self.origins.runtimes,
        )
        return Node("teacher_outputs", "teacher_outputs", config, self.origins.asked)

    def _trained(self, use: str, name: str, start: str) -> Iterator[Node]:
        """The step ``use``, which makes ``name`` of the model ``start``, and what is made to compare it with."""
        step, config = self.pipeline.step(use), self._config(use)
        if use == "prune" and step.compare is not False:
            yield from self._race(name, config, start)
            return
        own_data = use == "finetune" and step.data is not None
        yield Node(name, use, config, self._lesson(use, start), own_data)
        if use == "distill" and self._has_control:
            labels_alone = config.model_copy(update={"losses": LABELS_ALONE, "live": False})
            yield Node("control", "distill", labels_alone, self._lesson("control", start))

    def _config(self, use: str) -> Any:
        """The stage's options: the step's, and what other tables of the pipeline say of it."""
        step = self.pipeline.step(use)
        options = {**step.model_dump(exclude={"data"}), "augment": self.pipeline.augment}
        if use == "prune" and step.latency_kept is not None:
            options |= self._timed()
        if use == "qat":
            options["granularity"] = self.pipeline.step("quantize").granularity
        return STAGES[use].Config.model_validate(options)

    def _timed(self) -> dict[str, Any]:
        """By what latency is told: this machine's clock, or what is predicted for the device, of which that depends."""
        if self.device.is_host or not can_predict(self.device):
            return {"machine": host_fingerprint()}
        bare = {"path": Path(self.device.path.name), "budget": {}, "limits": (), "notes": (), "reach": None}
        return {"device": self.device.model_copy(update=bare)}

    def _race(self, name: str, config: Any, start: str) -> Iterator[Node]:
        """The pruned student beside two rivals; each is taught by the same steps as it was."""
        pruned = config.model_copy(update={"compare": False, "max_drop": prune.Config.model_fields["max_drop"].default})
        views = {"augment": self.pipeline.augment}
        shared = {field: getattr(config, field) for field in distill.StepConfig.model_fields}
        again = distill.Config(**shared, **views)
        first = distill.Config(**self.pipeline.step("distill").model_dump(), **views)
        small = small_start.Config(round_to=config.round_to, structures=config.structures)
        yield Node("race_pruned", "prune", pruned, self._lesson("prune", start))
        yield Node("race_unpruned", "distill", again, self._lesson("prune", start))
        small_inputs = ("student_start", "race_pruned", *self.origins.reader(start))
        yield Node("race_small_start", "small_start", small, small_inputs)
        yield Node("race_small_distilled", "distill", first, self._lesson("distill", "race_small_start"))
        yield Node("race_small", "distill", again, self._lesson("prune", "race_small_distilled"))
        wanted = race.Config(
            keep_winner=config.compare == "keep-winner", max_drop=config.max_drop, machine=host_fingerprint()
        )
        yield Node(name, "race", wanted, ("race_pruned", "race_unpruned", *self._lesson("prune", "race_small")))

    def _reads_outputs(self, steps: Iterable[str]) -> bool:
        """Whether a step takes the teacher's cached outputs: to learn from, or to start a narrower output with."""
        narrower = self.pipeline.student is not None and self.pipeline.student.output_width is not None
        learns = any(not self.pipeline.step(use).live for use in steps if use != "finetune")
        return learns or (narrower and "distill" in steps)

    def _lesson(self, use: str, start: str) -> tuple[str, ...]:
        """What a training step takes: the model, then the teacher's outputs or the teacher, then the tokenizers."""
        reader = self.origins.reader(start)
        if use == "finetune":
            return (start, *reader)
        step = self.pipeline.step("distill" if use == "control" else use)
        if not step.live:
            return (start, "teacher_outputs", *reader)
        if use == "control":
            return (start, *reader)
        return (start, *self.origins.teachers, *dict.fromkeys((*reader, *self.origins.readers.of_teacher(0))))

    def _student_start(self) -> Iterator[Node]:
        """The student before any training: layers of the teacher, or what [student] names."""
        wanted = self.pipeline.student
        if wanted is None or wanted.layers is None:
            yield self.origins.student()
            return
        layers = wanted.layers if isinstance(wanted.layers, int | tuple) else {"first": wanted.layers.first}
        config = smaller.Config(
            layers=layers,
            hidden=wanted.hidden,
            feed_forward=wanted.feed_forward,
            heads=wanted.heads,
            output_width=wanted.output_width,
            fit_texts=wanted.fit_texts,
            merged_below=wanted.token_min_count if wanted.vocabulary == "merged" else None,
        )
        vectors = () if wanted.output_width is None else ("teacher_outputs",)
        inputs = ("teacher", "tokenizer", *vectors)
        if self._fitted:
            yield Node("student_cut", "smaller", config.model_copy(update={"fit_texts": 0}), inputs)
        yield Node("student_start", "smaller", config, inputs)

    @property
    def _fitted(self) -> bool:
        """Whether the student's start is fitted to the teacher, and so more than the layers that were kept."""
        wanted = self.pipeline.student
        return wanted is not None and wanted.layers is not None and wanted.fit_texts > 0
