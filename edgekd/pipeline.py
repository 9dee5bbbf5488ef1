"""Pipeline: what to build from which teacher and data, read from pipelines/*.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from edgekd.data.sources import DataConfig
from edgekd.data.views import AugmentConfig
from edgekd.device import budget_limits
from edgekd.errors import BadInputError, nearest
from edgekd.limits import Limit
from edgekd.stages import distill, prune
from edgekd.stages.quantizing import Method
from edgekd.tasks import TASKS
from edgekd.toml_file import PACKAGED, Frozen, line_of, read, resolve, validate

ASSET = "edgekd:"  # a file that comes with edgekd


class ModelConfig(Frozen):
    """The [student] table, and what [teacher] has in common with it."""

    model: str  # 'module:function' that returns a torch module
    options: dict[str, Any] = {}


class TeacherConfig(ModelConfig):
    """The [teacher] table."""

    weights: str  # a file beside the pipeline, or 'edgekd:NAME' for one that comes with edgekd


class ExportConfig(Frozen):
    """Write the float student, and the teacher to compare with, in the formats that are shipped."""

    formats: Annotated[tuple[Literal["onnx", "tflite"], ...], Field(min_length=1)] = ("onnx", "tflite")

    @field_validator("formats")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("expected each format once")
        return value


class QuantizeStep(Frozen):
    """Make static INT8 of each format with its own runtime's quantizer."""

    method: Method = "auto"
    calibration_samples: Annotated[int, Field(ge=1)] = 300


class ParityConfig(Frozen):
    """The [parity] table: how far the versions of one model may lie apart on the test images."""

    float_max_abs: Annotated[float, Field(gt=0)] = 1e-3
    int8_top1: Annotated[float, Field(gt=0, le=1)] = 0.95
    int8_cosine: Annotated[float, Field(gt=0, le=1)] = 0.98


# The steps that a pipeline can name, in the only order in which they can follow each other.
STEPS: dict[str, type[BaseModel]] = {
    "distill": distill.Config,
    "prune": prune.Config,
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
    data: DataConfig
    augment: AugmentConfig = AugmentConfig()
    teacher: TeacherConfig
    student: ModelConfig | None = None  # without one, the teacher itself goes on to pruning and INT8
    stages: tuple[Step, ...]
    parity: ParityConfig = ParityConfig()
    budget: dict[str, str] = {}
    limits: tuple[Limit, ...] = ()

    def step(self, use: str) -> Any | None:
        """The options of the step ``use``, or None where the pipeline has no such step."""
        return next((step.config for step in self.stages if step.use == use), None)

    def teacher_weights(self) -> Path:
        """The teacher's weight file.

        Raises:
            BadInputError: there is none.

        """
        name = self.teacher.weights
        ours = name.startswith(ASSET)
        path = PACKAGED / "assets" / name.removeprefix(ASSET) if ours else self.path.parent / name
        if not path.is_file():
            raise BadInputError(f"{self.path}: [teacher] weights: found no file {path}")
        return path


def load(name: str) -> Pipeline:
    """Load the pipeline ``name``: a path, ./pipelines/NAME.toml or a packaged one.

    Raises:
        BadInputError: unknown pipeline, task, stage or key; a value out of range; stages in a wrong order.

    """
    path = resolve(name, "pipelines", "pipeline")
    values, text = read(path)
    steps = _steps(values.get("stages"), path, text)
    pipeline = validate(Pipeline, {"name": path.stem, **values, "stages": steps, "path": path}, path, text)
    if pipeline.task not in TASKS:
        raise BadInputError(
            f"{path}:{line_of(text, ['task'])}: found the task {pipeline.task!r}", nearest(pipeline.task, TASKS)
        )
    if pipeline.step("distill") is not None and pipeline.student is None:
        raise BadInputError(f"{path}: found the stage 'distill' and no [student], expected [student] model = …")
    data = pipeline.data
    if data.path is not None:
        data = data.model_copy(update={"path": path.parent / data.path})
    return pipeline.model_copy(update={"data": data, "limits": budget_limits(pipeline.budget, path, text)})


def _steps(tables: Any, path: Path, text: str) -> tuple[Step, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables) or not tables:
        raise BadInputError(f"{path}: found no [[stages]], expected at least export", "see pipelines/default.toml")
    steps = tuple(_step(table, index, path, text) for index, table in enumerate(tables))
    order = [list(STEPS).index(step.use) for step in steps]
    if order != sorted(set(order)):
        raise BadInputError(
            f"{path}:{steps[0].line}: found the stages {', '.join(step.use for step in steps)}, "
            f"expected each at most once and in this order: {', '.join(STEPS)}"
        )
    for needed in ("export", "quantize"):
        if needed not in {step.use for step in steps}:
            raise BadInputError(f"{path}: found no stage {needed!r}, expected it: INT8 files are what is shipped")
    return steps


def _step(table: dict[str, Any], index: int, path: Path, text: str) -> Step:
    line = line_of(text, ["stages", index])
    use = table.get("use")
    if use not in STEPS:
        at = line_of(text, ["stages", index, "use"])
        raise BadInputError(f"{path}:{at}: found the stage {use!r}", nearest(str(use), STEPS))
    options = {key: value for key, value in table.items() if key != "use"}
    return Step(use=use, config=validate(STEPS[use], options, path, text, ["stages", index]), line=line)
