"""What a target is: a module with these names, and one line in TARGETS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from edgekd.device import Device
from edgekd.errors import StageError
from edgekd.profile import saved
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.profile.observed import Observed, unavailable
from edgekd.profile.rules import Plan
from edgekd.runtimes.graph import Length


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured.

    Attributes:
        artifact: its name in the measurements.
        path: a .onnx or .tflite file.
        runtime: 'onnxruntime' or 'tflite'.
        inputs: real rows, as a .npy (a model with one input) or a .npz with an array for each input's name;
            as many of the first rows are used as the model takes at once.
        length: the tokens of a text, for a file that takes any number of them, or each open size by its name; only
            predictions need it.
        checks: more rows whose outputs a browser must give right, as a .npz with arrays 'NUMBER/INPUT', from 0 on.

    """

    artifact: str
    path: Path
    runtime: str
    inputs: Path
    length: Length | None = None
    checks: Path | None = None


@dataclass(frozen=True, slots=True)
class Ability:
    """Something that can be measured at a place, and by what; or why it can't."""

    name: str
    works: bool
    text: str


class IncompleteError(StageError):
    """A session that ended too early, with what it had measured until then."""

    def __init__(self, message: str, hint: str, measured: tuple[Measurement, ...]) -> None:
        super().__init__(message, hint)
        self.measured = measured

    def kept(self, path: Path) -> Self:
        """The same error, once what was measured lies at ``path`` (.npz)."""
        if self.measured:
            path.parent.mkdir(parents=True, exist_ok=True)
            saved.save(self.measured, path)
            self.message += f", and are kept, marked incomplete, in {path}"
        return self


class Session(ABC):
    """A place where models are measured, from ``prepare`` to ``close``; nothing is left there afterwards."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """What must be equal for two measurements to be comparable: machine and versions, not its present state."""

    @abstractmethod
    def measure(self, subject: Subject, plan: Plan) -> tuple[Measurement, ...]:
        """Measure one file.

        Returns:
            Latency (every run), load time, first inference, peak memory, size and energy, in SI units. One that can't
            be measured there says why.

        Raises:
            BadInputError: no such file or runtime, a runtime that isn't installed, a model that it cannot load, or
                inputs that do not fit.
            StageError: the runner died, or the place can't be reached any more.

        """

    def abilities(self) -> Iterator[Ability]:
        """What can be measured there; nothing to say where that is the same everywhere."""
        yield from ()

    def observe(self, subject: Subject, plan: Plan) -> Observed:
        """Look at one file in runs of their own: which operator takes how long, and how memory runs over time.

        What can't be seen there says why; nothing is raised but what :meth:`measure` raises.
        """
        del plan
        reason = "taken only where edgekd itself runs, not at this target"
        return unavailable(subject.artifact, Provenance.ON_DEVICE, reason)

    def close(self) -> None:  # noqa: B027 (where nothing was put, nothing is to be done)
        """Take everything away that the session put there. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Target(Protocol):
    """The names that a target's module defines."""

    def prepare(self, device: Device) -> Session:
        """Open a session on ``device``.

        Raises:
            BadInputError: the device file doesn't say how to get there, or a program for it is missing.
            StageError: nobody answers.

        """
