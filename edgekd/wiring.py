"""Wiring: which steps a pipeline needs for a device, and which artifacts each of them takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from edgekd import targets
from edgekd.bundle import licences
from edgekd.device import Device
from edgekd.float_models import FloatModels, final_float, float_names
from edgekd.limits import Limit
from edgekd.node import Node
from edgekd.origins import Origins
from edgekd.pipeline import Pipeline, QuantizeStep
from edgekd.profile import rules
from edgekd.profile.conditions import host_fingerprint
from edgekd.readers import TEXTS
from edgekd.stages import (
    arm64,
    calibration,
    evaluate,
    golden,
    profile,
    quantize_onnx,
    quantize_tflite,
    shift,
    tfidf_shift,
)
from edgekd.stages.base import NoConfig
from edgekd.targets.arm64_cores import cpu_of
from edgekd.targets.isa import target_isa
from edgekd.toml_file import Frozen


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

    @cached_property
    def models(self) -> FloatModels:
        """The steps that make the float models."""
        return FloatModels(self.pipeline, self.device, self.origins, control=self.options.control)

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
        yield from self.origins.steps()
        yield from self.models.steps()
        yield from self._files()
        yield from self._evaluations()
        yield from self._profiles()
        yield self._golden()
        if self.options.parity == "arm64":
            yield Node("arm64", "arm64", arm64.Config(cpu=cpu_of(self.device)), ("golden",))

    def _files(self) -> Iterator[Node]:
        quantize: QuantizeStep = self.pipeline.step("quantize") or QuantizeStep()
        calibrated = calibration.Config(samples=quantize.calibration_samples, seed=quantize.calibration_seed)
        yield Node("calibration", "calibration", calibrated, self.origins.reader(self.final))
        learned = self._learned_ranges
        for name in learned:
            yield Node(name, "learned_ranges", NoConfig(), (self.final, "calibration"))
        for form in self.formats:
            if self.origins.is_torch:
                yield self._export(f"teacher_{form}", form, "teacher")
            yield self._export(f"{form}_float", form, self.final)
            taken = (f"{form}_float", "calibration", *learned)
            yield Node(f"{form}_int8", f"quantize_{form}", self._int8(form, quantize), taken)
        if self.unpruned is not None and self.formats:
            yield self._export(f"{self.formats[0]}_unpruned", self.formats[0], self.unpruned)

    def _export(self, name: str, form: str, model: str) -> Node:
        """The float ``model`` as a file."""
        return Node(name, f"export_{form}", NoConfig(), (model, *self.origins.reader(model)))

    @property
    def _learned_ranges(self) -> tuple[str, ...]:
        """The step that tells the quantizers which ranges were learned; transformers have none."""
        static = self.pipeline.step("qat") is not None and self.pipeline.task not in TEXTS
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
        names = [*self.models.references]
        names += float_names(self.pipeline).values()
        names += [f"{form}_{kind}" for form in self.formats for kind in ("float", "int8")]
        for name in names:
            fitted = evaluate.Config(temperature=quantize.temperature and name.endswith("_int8"))
            yield Node(f"evaluate {name}", "evaluate", fitted, (name, *self.origins.reader(name)))
        if self._tfidf:
            yield Node("evaluate tfidf", "tfidf", NoConfig())
        yield from self._shifts()

    @property
    def _tfidf(self) -> bool:
        """Whether texts are scored by TF-IDF too."""
        return self.pipeline.task in TEXTS and self.pipeline.proof.tfidf

    def _shifts(self) -> Iterator[Node]:
        """The same test items, noisier: teacher, student at every stage of its making, what is shipped, TF-IDF."""
        items = self.pipeline.proof.shift_items
        if items == 0 or ":" in self.pipeline.task:
            return
        if self.origins.can_run:
            config = shift.Config(items=items, shares=self.origins.weights, runtimes=self.origins.runtimes)
            yield Node("shift teacher", "shift", config, self.origins.asked)
        shipped = (f"{form}_int8" for form in self.formats)
        for name in dict.fromkeys((*self.models.references, self.final, *shipped)):
            if name != "teacher":
                yield Node(f"shift {name}", "shift", shift.Config(items=items), (name, *self.origins.reader(name)))
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
            yield Node(f"profile {name}", "profile", self._profile(name), (name, *self.origins.reader(name)))

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
        return Node("golden", "golden", config, (*files, *scored, *self.origins.reader(self.final)))

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
