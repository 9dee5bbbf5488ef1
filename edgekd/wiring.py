"""Wiring: which steps a pipeline needs for a device, and which artifacts each of them takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekd import targets
from edgekd.bundle import licences
from edgekd.device import Device
from edgekd.limits import Limit
from edgekd.objectives.table import parse
from edgekd.origins import Origins
from edgekd.pipeline import Pipeline, QuantizeStep
from edgekd.profile import rules
from edgekd.profile.conditions import host_fingerprint
from edgekd.stages import (
    STAGES,
    arm64,
    calibration,
    distill,
    evaluate,
    golden,
    profile,
    prune,
    quantize_onnx,
    quantize_tflite,
    race,
    shift,
    small_start,
    smaller,
    teacher_outputs,
    tfidf_shift,
)
from edgekd.stages.base import NoConfig
from edgekd.targets.arm64_cores import cpu_of
from edgekd.targets.isa import target_isa
from edgekd.targets.predicted import can_predict
from edgekd.tasks import outputs_of
from edgekd.tasks.base import Outputs
from edgekd.toml_file import Frozen

TEXT_TASKS = ("text-classification", "text-embedding")
TRAINING = ("distill", "prune", "finetune", "qat")
LABELS_ALONE = parse([{"use": "labels"}])


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to pipeline and device."""

    limits: tuple[Limit, ...] = ()
    control: bool = False
    quick: bool = False
    threads: int = 1
    require: str | None = None  # the least provenance that is judged
    sustained: bool = False  # shipped files are also run until their speed is steady
    load: int = 0  # and beside so many busy cores
    parity: str | None = None  # 'arm64': the INT8 files are run on an emulated processor too
    allow_inconclusive: bool = False
    no_examples: bool = False  # the run folder keeps no test items for report.html


@dataclass(frozen=True, slots=True)
class Node:
    """One step: a stage, its options, and the names of the steps whose artifacts it takes."""

    name: str
    stage: str
    config: Frozen
    inputs: tuple[str, ...] = ()
    own_data: bool = False  # it trains on the data of its own step


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


def has_labels(pipeline: Pipeline) -> bool:
    """Whether the task has labels to train on."""
    return outputs_of(pipeline.task, pipeline.data) is Outputs.LOGITS


@dataclass(frozen=True)
class Wiring:
    """All steps of one build."""

    pipeline: Pipeline
    device: Device
    options: Options
    formats: tuple[str, ...]
    teacher_scored: bool = True  # False where a table has no outputs for the test rows

    @cached_property
    def origins(self) -> Origins:
        """The steps that load what the user brings."""
        return Origins(self.pipeline)

    @property
    def final(self) -> str:
        """The float model that is exported."""
        return final_float(self.pipeline)

    @property
    def unpruned(self) -> str | None:
        """The student that pruning starts from, where it is not the teacher."""
        return float_names(self.pipeline).get("distill") if self.pipeline.step("prune") is not None else None

    def nodes(self) -> Iterator[Node]:
        """Every step, each after those whose artifacts it takes."""
        for name, stage, config, inputs in self.origins.steps():
            yield Node(name, stage, config, inputs)
        yield from self._training()
        yield from self._files()
        yield from self._evaluations()
        yield from self._profiles()
        yield self._golden()
        if self.options.parity == "arm64":
            yield Node("arm64", "arm64", arm64.Config(cpu=cpu_of(self.device)), ("golden",))

    def _training(self) -> Iterator[Node]:
        pipeline = self.pipeline
        steps = float_names(pipeline)
        if self._reads_outputs(steps):
            config = teacher_outputs.Config(
                **pipeline.teacher_outputs.model_dump(),
                augment=pipeline.augment,
                shares=self.origins.weights,
                runtimes=self.origins.runtimes,
            )
            yield Node("teacher_outputs", "teacher_outputs", config, self.origins.asked)
        start = "teacher"
        if "distill" in steps:
            start = "student_start"
            yield from self._student_start()
        for use, name in steps.items():
            step = pipeline.step(use)
            options = {**step.model_dump(exclude={"data"}), "augment": pipeline.augment}
            if use == "prune" and step.latency_kept is not None:
                options |= self._timed()
            if use == "qat":
                options["granularity"] = pipeline.step("quantize").granularity
            taught = STAGES[use].Config.model_validate(options)
            if use == "prune" and step.compare is not False:
                yield from self._race(name, taught, start)
            else:
                own_data = use == "finetune" and step.data is not None
                yield Node(name, use, taught, self._lesson(use, start), own_data)
            if use == "distill" and self.options.control and has_labels(pipeline):
                labels_alone = taught.model_copy(update={"losses": LABELS_ALONE, "live": False})
                yield Node("control", "distill", labels_alone, self._lesson("control", start))
            start = name

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
        small_inputs = ("student_start", "race_pruned", *self._reader(start))
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
        reader = self._reader(start)
        if use == "finetune":
            return (start, *reader)
        step = self.pipeline.step("distill" if use == "control" else use)
        if not step.live:
            return (start, "teacher_outputs", *reader)
        if use == "control":
            return (start, *reader)
        return (start, *self.origins.teachers, *dict.fromkeys((*reader, *self.origins.readers.of_teacher(0))))

    def _student_start(self) -> Iterator[Node]:
        wanted = self.pipeline.student
        if wanted is not None and wanted.layers is not None:
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
        else:
            name, stage, student, inputs = self.origins.student()
            yield Node(name, stage, student, inputs)

    def _files(self) -> Iterator[Node]:
        pipeline = self.pipeline
        quantize: QuantizeStep = pipeline.step("quantize") or QuantizeStep()
        reader = self._reader(self.final)
        calibrated = calibration.Config(samples=quantize.calibration_samples, seed=quantize.calibration_seed)
        yield Node("calibration", "calibration", calibrated, reader)
        learned = self._learned_ranges
        for name in learned:
            yield Node(name, "learned_ranges", NoConfig(), (self.final, "calibration"))
        for form in self.formats:
            if self.origins.is_torch:
                yield Node(f"teacher_{form}", f"export_{form}", NoConfig(), ("teacher", *self._reader("teacher")))
            yield Node(f"{form}_float", f"export_{form}", NoConfig(), (self.final, *reader))
            taken = (f"{form}_float", "calibration", *learned)
            yield Node(f"{form}_int8", f"quantize_{form}", self._int8(form, quantize), taken)
        if self.unpruned is not None and self.formats:
            form = self.formats[0]
            yield Node(f"{form}_unpruned", f"export_{form}", NoConfig(), (self.unpruned, *self._reader(self.unpruned)))

    @property
    def _learned_ranges(self) -> tuple[str, ...]:
        """The step that tells the quantizers which ranges were learned; transformers have none."""
        static = self.pipeline.step("qat") is not None and self.pipeline.task not in TEXT_TASKS
        return ("learned_ranges",) if static else ()

    def _int8(self, form: str, wanted: QuantizeStep) -> Frozen:
        """The quantizer's options for one format."""
        shared = ("mode", "method", "max_drop", "granularity", "equalize", "correct_bias", "smooth", "keep_float")
        options = {name: getattr(wanted, name) for name in shared} | {
            "isa": wanted.target_isa or target_isa(self.device),
            "machine": host_fingerprint(),
        }
        return quantize_onnx.Config(**options) if form == "onnx" else quantize_tflite.Config(**options, io=wanted.io)

    def _evaluations(self) -> Iterator[Node]:
        quantize: QuantizeStep = self.pipeline.step("quantize") or QuantizeStep()
        if self.teacher_scored:
            config = evaluate.Config(shares=self.origins.weights, runtimes=self.origins.runtimes)
            yield Node("evaluate teacher", "evaluate", config, self.origins.asked)
        names = [*self._references()]
        names += float_names(self.pipeline).values()
        names += [f"{form}_{kind}" for form in self.formats for kind in ("float", "int8")]
        for name in names:
            fitted = evaluate.Config(temperature=quantize.temperature and name.endswith("_int8"))
            yield Node(f"evaluate {name}", "evaluate", fitted, (name, *self._reader(name)))
        if self._tfidf:
            yield Node("evaluate tfidf", "tfidf", NoConfig())
        yield from self._shifts()

    @property
    def _tfidf(self) -> bool:
        """Whether texts are scored by TF-IDF too."""
        return self.pipeline.task in TEXT_TASKS and self.pipeline.proof.tfidf

    def _references(self) -> tuple[str, ...]:
        """What the distilled student is compared with: itself untrained, and trained on labels alone."""
        if self.pipeline.step("distill") is None:
            return ()
        control = self.options.control and has_labels(self.pipeline)
        return ("student_cut",) * self._fitted + ("student_start",) + ("control",) * control

    @property
    def _fitted(self) -> bool:
        """Whether the student's start is fitted to the teacher, and so more than the layers that were kept."""
        wanted = self.pipeline.student
        return wanted is not None and wanted.layers is not None and wanted.fit_texts > 0

    def _shifts(self) -> Iterator[Node]:
        """The same test items, noisier: teacher, student at every stage of its making, what is shipped, TF-IDF."""
        items = self.pipeline.proof.shift_items
        if items == 0 or ":" in self.pipeline.task:
            return
        if self.origins.can_run:
            config = shift.Config(items=items, shares=self.origins.weights, runtimes=self.origins.runtimes)
            yield Node("shift teacher", "shift", config, self.origins.asked)
        shipped = (f"{form}_int8" for form in self.formats)
        for name in dict.fromkeys((*self._references(), self.final, *shipped)):
            if name != "teacher":
                yield Node(f"shift {name}", "shift", shift.Config(items=items), (name, *self._reader(name)))
        if self._tfidf:
            yield Node("shift tfidf", "tfidf_shift", tfidf_shift.Config(items=items))

    def _profiles(self) -> Iterator[Node]:
        names = [f"teacher_{form}" for form in self.formats if self.origins.is_torch]
        if "onnx" in self.formats and self.origins.teachers == ("teacher_onnx",):
            names.append("teacher_onnx")
        names += [f"{form}_{kind}" for form in self.formats for kind in ("float", "int8")]
        if self.unpruned is not None and self.formats:
            names.append(f"{self.formats[0]}_unpruned")
        for name in names:
            yield Node(f"profile {name}", "profile", self._profile(name), (name, *self._reader(name)))

    def _golden(self) -> Node:
        """What the bundle holds besides figures."""
        files = [f"{form}_int8" for form in self.formats]
        quantize: QuantizeStep = self.pipeline.step("quantize") or QuantizeStep()
        config = golden.Config(
            name=self.pipeline.name,
            device=self.device.name,
            task=self.pipeline.task,
            isa=quantize.target_isa or target_isa(self.device),
            licences=licences.told(self.pipeline),
            machine=host_fingerprint(),
            resized=getattr(self.pipeline.data, "image_size", None) is not None,
            temperature=quantize.temperature,
            in_graph=self.pipeline.bundle.preprocessing == "in_graph",
            items=self.pipeline.bundle.golden,
        )
        scored = [f"evaluate {name}" for name in files]
        return Node("golden", "golden", config, (*files, *scored, *self._reader(self.final)))

    def _profile(self, name: str) -> profile.Config:
        measured = targets.is_measured(self.device)
        threads = self.device.threads if measured else self.options.threads
        shipped = name.endswith("_int8")
        plan = rules.plan(threads, judged=measured and shipped, quick=self.options.quick)
        sustained = self.options.sustained and shipped
        return profile.Config(
            artifact=name,
            threads=plan.threads,
            min_runs=plan.min_runs,
            min_seconds=rules.SUSTAINED_S if sustained else plan.min_seconds,
            sustained=sustained,
            load=self.options.load if shipped else 0,
            checks=self.pipeline.bundle.golden if shipped and targets.name_of(self.device) == "browser" else 0,
            observe=shipped,
            machine=targets.identity(self.device),
            device_file=self.device.path,
        )

    def _reader(self, model: str) -> tuple[str, ...]:
        """The tokenizer by which a student, or the only teacher, reads, as a step's input."""
        readers = self.origins.readers
        return readers.of_teacher(0) if model.startswith("teacher") else readers.of_student()
