"""Device: facts about a phone or board, each with its source, and the budget a model must meet on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from edgekd import units
from edgekd.errors import BadInputError
from edgekd.limits import Limit, parse_rule
from edgekd.reach import Reach
from edgekd.toml_file import Frozen, line_of, read, resolve, validate


def not_blank(text: str) -> str:
    """Refuse a source that says nothing."""
    if not text.strip():
        raise ValueError("expected where this fact comes from")
    return text


Value = TypeVar("Value")
Source = Annotated[str, AfterValidator(not_blank)]
Runtime = Literal["onnxruntime", "tflite"]
LIKE = ("like", "extends")


def _quantity(dimension: str) -> BeforeValidator:
    def read_one(value: Any) -> float:
        if not isinstance(value, str):
            raise ValueError("expected text with a unit")  # noqa: TRY004 (pydantic wants ValueError)
        try:
            return units.parse(value, dimension, "value")
        except BadInputError as error:
            raise ValueError(error.message.removeprefix("value: ")) from None

    return BeforeValidator(read_one)


Bytes = Annotated[float, _quantity("B"), Field(gt=0, lt=4e12)]
Hertz = Annotated[float, _quantity("Hz"), Field(gt=1e7, lt=1e10)]
Watts = Annotated[float, _quantity("W"), Field(gt=0, lt=1000)]
BytesPerSecond = Annotated[float, _quantity("B/s"), Field(gt=1e8, lt=5e12)]


class Fact(Frozen, Generic[Value]):
    """A value and where it comes from."""

    value: Value
    source: Source


class Cluster(Frozen):
    """Cores of one kind."""

    core: str
    count: Annotated[int, Field(ge=1, le=256)]
    clock: Hertz  # Hz


class Power(Frozen):
    """What the device draws while it computes, as an interval; ``carried_over_from`` names another chip."""

    low: Watts  # W
    high: Watts  # W
    basis: str
    carried_over_from: str | None = None
    source: Source


class Facts(Frozen):
    """What is known of the hardware; a fact that is left out is unknown."""

    soc: Fact[str] | None = None
    clusters: Fact[tuple[Cluster, ...]] | None = None
    isa: Fact[tuple[str, ...]] | None = None  # dotprod, i8mm, sve2, fp16, vnni …
    ram: Fact[Bytes] | None = None  # bytes
    memory_bandwidth: Fact[BytesPerSecond] | None = None  # bytes/s
    battery: Fact[str] | None = None
    os: Fact[str] | None = None
    power: Power | None = None


class Device(Frozen):
    """A place where a model is to run."""

    name: str
    title: str
    arch: Literal["arm64", "x86_64", "wasm", "this"]
    runtimes: tuple[Runtime, ...]
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    facts: Facts = Facts()
    reach: Reach | None = None
    notes: tuple[str, ...] = ()
    budget: Annotated[dict[str, str], Field(default_factory=dict)]
    path: Path
    limits: tuple[Limit, ...] = ()

    @field_validator("runtimes")
    @classmethod
    def _some(cls, value: tuple[Runtime, ...]) -> tuple[Runtime, ...]:
        if not value:
            raise ValueError("expected at least one of onnxruntime, tflite")
        return value

    @property
    def is_host(self) -> bool:
        """Whether this is the machine that edgekd runs on, so that it is measured and not predicted."""
        return self.arch == "this"

    def has(self, extension: str) -> bool:
        """Whether the instruction set extension is known to be there."""
        return self.facts.isa is not None and extension in self.facts.isa.value


def load(name: str) -> Device:
    """Load the device ``name``: a path, ./devices/NAME.toml or a packaged one.

    A file with ``like`` (or ``extends``, which is the same) has all keys, tables and single facts of another device
    that it doesn't have itself.

    Raises:
        BadInputError: unknown device, unknown key, a value out of range, without a unit or without a source, or files
            that are like each other in a circle.

    """
    return _loaded(resolve(name, "devices", "device"), ()).device


class _Loaded(NamedTuple):
    device: Device
    values: dict[str, Any]  # as TOML has them, for those that are like it


def _loaded(path: Path, before: tuple[Path, ...]) -> _Loaded:
    """Load the file at ``path``, which those ``before`` it are like."""
    values, text = read(path)
    own_budget = "budget" in values
    other, base = _other(values, path, text), None
    if other is not None:
        _refuse_circle(path, other, (*before, path))
        base = _loaded(other, (*before, path))
        values = {**base.values, **values}
        if isinstance(values.get("facts"), dict):  # else validation says what it is
            values["facts"] = {**base.values.get("facts", {}), **values["facts"]}
    device = validate(Device, {"name": path.stem, **values, "path": path}, path, text)
    limits = budget_limits(device.budget, path, text) if own_budget or base is None else base.device.limits
    handed_on = {key: value for key, value in values.items() if key != "name"}
    return _Loaded(device.model_copy(update={"limits": limits}), handed_on)


def _other(values: dict[str, Any], path: Path, text: str) -> Path | None:
    """The file of the device that this one is like; the key is taken out."""
    given = {key: values.pop(key) for key in LIKE if key in values}
    if not given:
        return None
    (key, name), *more = given.items()
    if more or not isinstance(name, str):
        found = f"both {' and '.join(given)}" if more else f"{key} = {name!r}"
        raise BadInputError(f"{path}:{line_of(text, [key])}: found {found}, expected the name or file of one device")
    return resolve(name, "devices", "device")


def _refuse_circle(path: Path, other: Path, chain: tuple[Path, ...]) -> None:
    resolved = [each.resolve() for each in chain]
    if other.resolve() in resolved:
        circle = [*chain[resolved.index(other.resolve()) :], other]
        raise BadInputError(
            f"{path}: found a circle: {' is like '.join(str(each) for each in circle)}",
            "one of them has to stand for itself; a file in ./devices hides the packaged one of its name",
        )


def budget_limits(budget: dict[str, str], path: Path, text: str) -> tuple[Limit, ...]:
    """Read a [budget] table; each limit remembers its file and line."""
    return tuple(
        parse_rule(metric, rule, f"{path}:{line_of(text, ['budget', metric])}") for metric, rule in budget.items()
    )
