"""Pipeline: what to build from which teacher and data, read from pipelines/*.toml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from edgekd.data.views import AugmentConfig
from edgekd.device import budget_limits
from edgekd.errors import BadInputError, nearest
from edgekd.limits import Limit
from edgekd.stages import calibration, distill, finetune, prune, qat
from edgekd.stages.quantizing import Granularity, Io, Method, Mode, Wanted
from edgekd.stages.teacher_outputs import CacheConfig
from edgekd.targets.isa import Isa
from edgekd.tasks import TASKS, TaskModule, named, outputs_of
from edgekd.tasks.base import Outputs
from edgekd.teachers import StudentConfig, TeacherConfig
from edgekd.toml_file import PACKAGED, Frozen, line_of, read, resolve, validate

Defaults = Mapping[str, Mapping[str, Any]]
ASSET = "edgekd:"  # a file that comes with edgekd


class ExportConfig(Frozen):
    """Write the float student, and the teacher to compare with, in the formats that are shipped."""

    formats: Annotated[tuple[Literal["onnx", "tflite"], ...], Field(min_length=1)] = ("onnx", "tflite")  # each once

    @field_validator("formats")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("expected each format once")
        return value


class QuantizeStep(Frozen):
    """Make INT8 of each format with its own runtime's quantizer."""

    mode: Mode = "auto"  # what is rounded: weights and activations, by fixed ranges or as they come, or weights alone
    method: Method = "auto"  # of a mode: how ranges are set, or what is done about outliers
    max_drop: Annotated[float, Field(ge=0, le=1)] = 0.01  # of the float student's quality, on rows kept for choosing
    granularity: Granularity = "per-channel"  # of the weights' scales
    equalize: Wanted = "auto"  # static: the weights' ranges between layers; 'auto' tries, and keeps what comes closer
    correct_bias: Wanted = "auto"  # static: what rounding adds to outputs on average is taken off the biases
    smooth: Wanted = "auto"  # text encoders: outliers of activations go into weights first; 'auto' tries both
    keep_float: tuple[str, ...] = ()  # operators ('Softmax'), or single ones by their names in the float file
    io: Io = "float"  # what a static TFLite file takes and gives
    target_isa: Isa | None = None  # default: the device's
    calibration_samples: Annotated[int, Field(ge=calibration.LEAST)] = 300  # training rows that set the ranges
    calibration_seed: int | None = Field(None, ge=0)  # which rows those are; default: the pipeline's seed
    temperature: bool = False  # fit a temperature to the INT8 logits, for probabilities that can be relied on


class ParityConfig(Frozen):
    """The [parity] table: how far the versions of one model may lie apart on the test images."""

    float_max_abs: Annotated[float, Field(gt=0)] = 1e-3
    float_cosine: Annotated[float, Field(gt=0, le=1)] = 0.9999  # the mean over the rows, here and below
    int8_drop: Annotated[float, Field(ge=0, le=1)] = 0.02  # of the float file's quality, as a share
    int8_top1: Annotated[float, Field(gt=0, le=1)] = 0.95
    int8_cosine: Annotated[float, Field(gt=0, le=1)] = 0.98
    formats_top1: Annotated[float, Field(gt=0, le=1)] = 0.93  # INT8 ONNX to INT8 TFLite: each has errors of its own
    formats_cosine: Annotated[float, Field(gt=0, le=1)] = 0.96


class BundleConfig(Frozen):
    """The [bundle] table: what an app team gets."""

    preprocessing: Literal["outside", "in_graph"] = "outside"  # of images, in the ONNX file
    golden: Annotated[int, Field(ge=1, le=1000)] = 16  # test items with what each model gives for them


class ProofConfig(Frozen):
    """The [proof] table: what is scored besides the models, to show whether distilling was worth it."""

    shift_items: Annotated[int, Field(ge=0)] = 200  # test items that are scored under shift; 0 for none
    tfidf: bool = True  # for texts


# The steps that a pipeline can name, in the only order in which they can follow each other.
STEPS: dict[str, type[BaseModel]] = {
    "distill": distill.StepConfig,
    "prune": prune.StepConfig,
    "finetune": finetune.StepConfig,
    "qat": qat.StepConfig,
    "export": ExportConfig,
    "quantize": QuantizeStep,
}


class Step(Frozen):
    """One [[stages]] table, with the line it stands in."""

    use: str
    config: Any
    line: int


class Pipeline(Frozen):
    """A whole pipeline file."""

    name: str
    path: Path
    task: str
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    data: Any  # the task's own table
    augment: AugmentConfig = AugmentConfig()
    teacher: TeacherConfig | None = None
    teachers: tuple[TeacherConfig, ...] = ()  # several, instead of [teacher]
    teacher_outputs: CacheConfig = CacheConfig()
    student: StudentConfig | None = None  # without one, the teacher itself goes on to pruning and INT8
    stages: tuple[Step, ...]
    parity: ParityConfig = ParityConfig()
    proof: ProofConfig = ProofConfig()
    bundle: BundleConfig = BundleConfig()
    budget: dict[str, str] = {}
    limits: tuple[Limit, ...] = ()

    def step(self, use: str) -> Any:
        """The options of the step ``use``, or None where the pipeline has no such step."""
        return next((step.config for step in self.stages if step.use == use), None)

    @property
    def all_teachers(self) -> tuple[TeacherConfig, ...]:
        """The teachers, one or several."""
        return self.teachers if self.teacher is None else (self.teacher,)

    @property
    def has_labels(self) -> bool:
        """Whether the task has labels to train on."""
        return outputs_of(self.task, self.data) is Outputs.LOGITS

    def where(self, *keys: str | int) -> str:
        """'PATH:LINE' of a key, for a message."""
        return f"{self.path}:{line_of(self.path.read_text(encoding='utf-8'), keys)}"

    def file(self, name: str, key: str) -> Path:
        """The file that ``name`` stands for: one beside the pipeline, or 'edgekd:NAME'.

        Raises:
            BadInputError: there is none.

        """
        ours = name.startswith(ASSET)
        path = PACKAGED / "assets" / name.removeprefix(ASSET) if ours else self.path.parent / name
        if not path.is_file():
            raise BadInputError(f"{self.path}: [teacher] {key}: found no file {path}")
        return path

    def folder(self, name: str) -> str:
        """``name`` as a path beside the pipeline if there is such a folder, else as it is (a hub id, a package)."""
        beside = self.path.parent / name
        return str(beside) if beside.is_dir() else name


def load(name: str) -> Pipeline:
    """Load the pipeline ``name``: a path, ./pipelines/NAME.toml or a packaged one.

    Raises:
        BadInputError: unknown pipeline, task, stage or key; a value out of range; stages in a wrong order.

    """
    path = resolve(name, "pipelines", "pipeline")
    values, text = read(path)
    task = _task(values, path, text)
    steps = _steps(values.get("stages"), path, text, task)
    values = {"name": path.stem, **_finetuned(values, task.DEFAULTS), "stages": steps, "path": path}
    pipeline = validate(Pipeline, {"data": {}, **values}, path, text)
    data: Any = validate(task.DataConfig, pipeline.data, path, text, ["data"])
    if len(pipeline.all_teachers) == 0 or (pipeline.teacher is not None and pipeline.teachers):
        raise BadInputError(f"{path}: found {len(pipeline.teachers)} [[teachers]], expected [teacher] or [[teachers]]")
    if pipeline.step("distill") is not None and pipeline.student is None:
        raise BadInputError(f"{path}: found the stage 'distill' and no [student], expected [student] model = …")
    limits = budget_limits(pipeline.budget, path, text)
    return pipeline.model_copy(update={"data": data.beside(path.parent), "limits": limits})


def _task(values: dict[str, Any], path: Path, text: str) -> TaskModule:
    if "task" not in values:  # said like any other missing key, or as the typo that it was written with
        validate(Pipeline, {"name": path.stem, **values, "stages": (), "path": path}, path, text)
    name = values.get("task")
    found = named(str(name))
    if found is None:
        raise BadInputError(f"{path}:{line_of(text, ['task'])}: found the task {name!r}", nearest(str(name), TASKS))
    return found


def _finetuned(values: dict[str, Any], defaults: Defaults) -> dict[str, Any]:
    """The same with the task's defaults for the step 'finetune' in the teachers' own, which it is too."""

    def tuned(teacher: Any) -> Any:
        if not isinstance(teacher, dict) or not isinstance(teacher.get("finetune"), dict):
            return teacher
        return {**teacher, "finetune": {**defaults.get("finetune", {}), **teacher["finetune"]}}

    made = dict(values)
    if "teacher" in values:
        made["teacher"] = tuned(values["teacher"])
    if isinstance(values.get("teachers"), list):
        made["teachers"] = [tuned(each) for each in values["teachers"]]
    return made


def _steps(tables: Any, path: Path, text: str, task: TaskModule) -> tuple[Step, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables) or not tables:
        raise BadInputError(f"{path}: found no [[stages]], expected at least export", "see pipelines/default.toml")
    steps = tuple(_step(table, index, path, text, task) for index, table in enumerate(tables))
    order = [list(STEPS).index(step.use) for step in steps]
    if order != sorted(set(order)):
        raise BadInputError(
            f"{path}:{steps[0].line}: found the stages {', '.join(step.use for step in steps)}, "
            f"expected each at most once and in this order: {', '.join(STEPS)}",
            "'qat' is the last that changes weights" if "qat" in {step.use for step in steps} else "",
        )
    for needed in ("export", "quantize"):
        if needed not in {step.use for step in steps}:
            raise BadInputError(f"{path}: found no stage {needed!r}, expected it: INT8 files are what is shipped")
    return steps


def _step(table: dict[str, Any], index: int, path: Path, text: str, task: TaskModule) -> Step:
    line = line_of(text, ["stages", index])
    use = table.get("use")
    if use not in STEPS:
        at = line_of(text, ["stages", index, "use"])
        raise BadInputError(f"{path}:{at}: found the stage {use!r}", nearest(str(use), STEPS))
    given = {key: value for key, value in table.items() if key != "use"}
    options = {**task.DEFAULTS.get(str(use), {}), **given}
    config: Any = validate(STEPS[use], options, path, text, ["stages", index])
    if use == "finetune" and config.data is not None:
        data: Any = validate(task.DataConfig, config.data, path, text, ["stages", index, "data"])
        config = config.model_copy(update={"data": data.beside(path.parent)})
    return Step(use=use, config=config, line=line)
