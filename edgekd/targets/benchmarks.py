"""Benchmarks of the user's in one session: the one that [reach] names, or those of the cache, one for each runtime."""

from __future__ import annotations

from collections.abc import Mapping

from edgekd.device import Device
from edgekd.errors import BadInputError
from edgekd.targets import accelerators, cached_runners
from edgekd.targets.base import Subject
from edgekd.targets.connection import Connection
from edgekd.targets.own_session import OwnProgram, Room
from edgekd.targets.programs import named


class Benchmarks:
    """Which of them runs a file. The cache is looked at where [reach] names no runner, and nothing of edgekd's will do.

    Those tell every run while it runs, and a benchmark of the cache was put there without this device in mind.
    """

    def __init__(self, connection: Connection, device: Device, machine: str) -> None:
        self._connection, self._device, self._machine = connection, device, machine
        self.accelerator = device.reach.accelerator if device.reach else accelerators.CPU
        self._searched = device.reach is None or device.reach.runner is None
        self._kept: dict[str, OwnProgram | None] = {}
        self._there: OwnProgram | None = None  # whose files lie in the session's folder
        program = named(device)
        self._named = None if program is None else OwnProgram(connection, program, self.accelerator)
        if program is not None:
            program.refuse_for(machine)
        elif self.accelerator != accelerators.CPU:
            self._refuse_ours()

    def of(self, runtime: str, *, otherwise: bool) -> OwnProgram | None:
        """The benchmark for such files, as far as it can be told without asking it; None: edgekd runs them itself.

        ``otherwise`` is whether it could.
        """
        if self._named is not None:
            return self._named
        if otherwise and self.accelerator == accelerators.CPU:
            return None
        return self._of_cache(runtime)

    def chosen(self, subject: Subject, room: Room, *, otherwise: bool) -> OwnProgram | None:
        """The benchmark that runs a file, ready there; None: edgekd runs it itself.

        Raises:
            BadInputError: none has the accelerator, or as ``OwnProgram.runs``.
            StageError: it can't be started there.

        """
        own = self.of(subject.runtime, otherwise=otherwise)
        if own is None and self.accelerator != accelerators.CPU:
            wanted = cached_runners.BENCHMARKS[subject.runtime]
            raise BadInputError(
                f"{subject.path}: found a file for {subject.runtime} and the accelerator {self.accelerator!r} in "
                f"[reach], expected {wanted} in {cached_runners.place(self._machine)} or as runner",
                f"put it there; or runtimes = ['{self._other(subject.runtime)}'] in the device file, and no such files",
            )
        if own is None:
            return None
        self.ready(own, room)
        return own if own.runs(subject, room) else None

    def ready(self, own: OwnProgram, room: Room) -> None:
        """Have its files there: those of another benchmark may have the same names."""
        if self._there is not own:
            own.forget()
            self._there = own
        own.recognise(room)

    def identity(self, otherwise: Mapping[str, bool]) -> Mapping[str, str]:
        """What runs files of each runtime, where that is no runner of edgekd's; and what it is asked for."""
        if self._named is not None:
            return {"runner": self._named.digest, "accelerator": self.accelerator}
        used = {runtime: self.of(runtime, otherwise=can) for runtime, can in otherwise.items()}
        found = {f"runner of {runtime}": own.digest for runtime, own in used.items() if own is not None}
        return {**found, "accelerator": self.accelerator} if found else {}

    def _of_cache(self, runtime: str) -> OwnProgram | None:
        if self._searched and runtime not in self._kept:
            program = cached_runners.benchmark(self._machine, runtime)
            own = None if program is None else OwnProgram(self._connection, program, self.accelerator)
            self._kept[runtime] = own
        return self._kept.get(runtime)

    def _refuse_ours(self) -> None:
        """Refuse an accelerator where there is nothing that could be asked for it."""
        if not self._searched:
            raise BadInputError(
                f"{self._device.path}: found the accelerator {self.accelerator!r} in [reach] with edgekd's own runner, "
                "which runs on the CPU alone",
                "name TFLite's benchmark_model or onnxruntime_perf_test as runner, or remove accelerator",
            )
        if not any(self._of_cache(runtime) for runtime in self._device.runtimes):
            raise BadInputError(
                f"{self._device.path}: found the accelerator {self.accelerator!r} in [reach] without a runner, "
                f"expected one, or one in {cached_runners.place(self._machine)}",
                "edgekd's own runs on the CPU alone: name TFLite's benchmark_model or onnxruntime_perf_test, or remove "
                "accelerator",
            )

    def _other(self, runtime: str) -> str:
        return next(name for name in cached_runners.BENCHMARKS if name != runtime)
