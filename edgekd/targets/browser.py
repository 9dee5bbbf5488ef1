"""Measure in a browser on this machine: onnxruntime-web and LiteRT.js in headless Chromium, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.device import Device
from edgekd.errors import BadInputError, StageError
from edgekd.profile import answer as answers
from edgekd.profile import child, coarse, state
from edgekd.profile.busy import busy
from edgekd.profile.conditions import UNKNOWN, host_conditions
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.profile.rules import Plan
from edgekd.runtimes.asked import asked, external_files
from edgekd.targets import browser_outputs, browser_packages, browser_page
from edgekd.targets.base import IncompleteError, Session, Subject
from edgekd.targets.browser_outputs import Expected
from edgekd.targets.browser_page import DiedError, Measuring
from edgekd.targets.browser_server import served
from edgekd.targets.host import device_state, refuse_unusable
from edgekd.targets.runners import first_rows

FACTS = ("cpu", "isa", "physical_cores", "os", "governor", "temperature_celsius", "load_average_1min")
MEMORY = "the page with its workers and WebAssembly (which never shrinks), by measureUserAgentSpecificMemory"
Rows = Sequence[npt.NDArray[Any]]


def prepare(device: Device) -> Session:
    """Measure in this machine's Chromium."""
    return BrowserSession(device)


def set_up(device: Device) -> str:
    """Fetch what the pages run; says where it lies."""
    if device.reach is not None and device.reach.packages is not None:
        return f"nothing to fetch: [reach] names {browser_packages.folder_of(device)}"
    return f"onnxruntime-web and LiteRT.js lie in {browser_packages.set_up()}"


class BrowserSession(Session):
    """Each file in a browser of its own."""

    def __init__(self, device: Device) -> None:
        self._packages = browser_packages.folder_of(device)
        self._version = browser_page.version(browser_page.program())

    @property
    def identity(self) -> str:
        """The machine's processor, and the versions of browser and runtimes."""
        facts = host_conditions()
        named = {name: facts[name] for name in ("cpu", "isa", "physical_cores")} | {"browser": self._version}
        engines = [each.package for each in browser_packages.ENGINES.values()]
        named |= {package: browser_packages.version(self._packages, package) for package in engines}
        return "; ".join(f"{name}: {value}" for name, value in named.items())

    def measure(self, subject: Subject, plan: Plan) -> tuple[Measurement, ...]:
        """Measure one file in a fresh browser, once its outputs were found to be right."""
        _refuse(subject, plan)
        fed = (first_rows(subject), *browser_outputs.checks(subject))
        content = {"/model": subject.path.read_bytes()}
        content |= {
            _place(number, place): np.ascontiguousarray(values).tobytes()
            for number, rows in enumerate(fed)
            for place, values in enumerate(rows)
        }
        expected = browser_outputs.expected(subject, *fed)
        _refuse_types(subject, {name: values.dtype.name for name, values in expected.outputs[0].items()})
        before = device_state()
        with served(self._packages, content) as address, browser_page.opened(address, subject.path) as page:
            found = _Found(subject, plan, {**self._conditions(subject, plan), **before})
            found.load(page, fed, expected)
            with busy(plan.load):
                found.time(page)
        found.conditions |= state.after(before, device_state())
        return found.measurements()

    def _conditions(self, subject: Subject, plan: Plan) -> dict[str, str]:
        package = browser_packages.ENGINES[subject.runtime].package
        here = host_conditions(plan.threads)
        return {
            **{name: here[name] for name in FACTS},
            "threads": str(plan.threads),
            "runtime": subject.runtime,
            "engine": f"{package} {browser_packages.version(self._packages, package)}",
            "browser": self._version,
            "accelerator": "cpu (WebAssembly)",
            "busy_cores": str(plan.load),
        }


class _Found:
    """What was found of one file."""

    def __init__(self, subject: Subject, plan: Plan, conditions: Mapping[str, str]) -> None:
        self._subject, self._plan = subject, plan
        self.conditions = dict(conditions)
        self._step_s, self._together = 0.0, 1  # of the page's clock; runs in a sample
        self._warmups_s: tuple[float, ...] = ()
        self._runs_s: list[float] = []
        self._answer: dict[str, Any] = {}

    def load(self, page: Measuring, fed: Sequence[Rows], expected: Expected) -> None:
        """Start the runtime and the model, and check its outputs for all rows; the first are then timed."""
        facts = page.ask("facts")
        self._step_s = facts["step_s"]
        if not facts["isolated"]:
            raise StageError(f"{self._subject.path}: found a page that isn't isolated, expected one with a fine clock")
        self.conditions |= {
            "isolated": "yes",
            "timer_step_us": f"{facts['step_s'] * 1e6:.3g}",
            "cores_of_the_page": str(facts["cores"]),
        }
        base = _memory(page)
        self._answer = self._started(page, fed[0])
        # Workers that wait for work don't answer, and the browser waits a minute for them: asked at the end alone.
        loaded = _memory(page) if self._plan.threads == 1 else None
        apart = max(self._apart(page, fed, expected, number) for number in reversed(range(len(fed))))
        of_rows = f"over {len(fed)} inputs" if len(fed) > 1 else "for the input that is timed"
        allowed = f"{expected.within.max_abs:.3g} allowed"
        self.conditions["outputs_off"] = f"{apart:.3g} from this machine's, of {allowed}, {of_rows}"
        self._answer |= {"base_memory_bytes": base, "load_peak_bytes": loaded}

    def _apart(self, page: Measuring, fed: Sequence[Rows], expected: Expected, number: int) -> float:
        told = page.ask("outputs", self._inputs(fed[number], number))
        return expected.furthest(browser_outputs.read(told), number)

    def _inputs(self, rows: Rows, number: int) -> list[dict[str, Any]]:
        return [
            {
                "names": child.aliases(each.name),
                "dtype": values.dtype.name,
                "shape": values.shape,
                "path": _place(number, place),
            }
            for place, (each, values) in enumerate(zip(asked(self._subject.path), rows, strict=True))
        ]

    def _started(self, page: Measuring, rows: Rows) -> dict[str, Any]:
        engine = browser_packages.ENGINES[self._subject.runtime]
        inputs = self._inputs(rows, 0)
        found: dict[str, Any] = page.ask(
            "start", {"engine": engine.script, "threads": self._plan.threads, "inputs": inputs}
        )
        if "refused" in found:
            raise BadInputError(
                f"{self._subject.path}: {self.conditions['engine']} cannot {found['during']} it: "
                f"{' '.join(found['refused'].split())}{page.words()}",
                "the browser's runtime lacks what this file needs, or the file is damaged",
            )
        return found

    def time(self, page: Measuring) -> None:
        """Warm up, and time until the plan is fulfilled; what was timed is kept if the page dies."""
        runs = partial(_runs, page)
        try:
            self._warmups_s, settled, self._together = coarse.warm_up(runs, self._step_s)
            energy = child.read_energy()
            steady = coarse.time_runs(runs, self._plan, self._together, self._runs_s)
            self._answer |= {"energy": [energy, child.read_energy()], "settled": settled, "steady_runs": steady}
            peak = max(self._answer["load_peak_bytes"] or 0, _memory(page))
            self._answer |= {"peak_memory_bytes": peak, "renderer": page.peak_memory_bytes()}
        except DiedError as error:
            kept = coarse.samples(self._runs_s, self._together)
            noted = answers.latency(kept, self._origin(), incomplete="yes: " + error.message) if kept else None
            raise IncompleteError(
                f"{error.message}; {len(kept):,} samples were taken until then", error.hint, (noted,) if noted else ()
            ) from error

    def _origin(self) -> answers.Origin:
        self.conditions["runs_per_sample"] = str(self._together)
        size_bytes = self._subject.path.stat().st_size
        return answers.Origin(self._subject.artifact, size_bytes, Provenance.ON_DEVICE, self.conditions)

    def measurements(self) -> tuple[Measurement, ...]:
        """All that was found; single runs apart where a sample is several of them."""
        origin = self._origin()
        answer = {**self._answer, "warmups_s": self._warmups_s, "core": UNKNOWN, "runs": len(self._runs_s)}
        found = [*answers.measurements(answer, coarse.samples(self._runs_s, self._together), origin)]
        notes = {
            "peak_memory": {"memory": MEMORY},
            "load_time": {"includes": "the start of the runtime itself"},
            "cold_start": {"since": "the page was called up, in a browser that runs"},
        }
        found = [replace(each, conditions={**each.conditions, **notes.get(each.metric, {})}) for each in found]
        missing = "this system does not tell a process's peak"
        found.append(
            answers.single(
                origin, "renderer_peak_memory", "B", answer["renderer"], missing, of="Chromium's process of the page"
            )
        )
        if self._together > 1:
            clock = f"off by up to {self.conditions['timer_step_us']} µs each"
            found.append(answers.latency(tuple(self._runs_s), origin, metric="single_run", clock=clock))
        return tuple(found)


def _place(number: int, place: int) -> str:
    """Where the page fetches an input of one of the rows."""
    return f"/inputs/{number}/{place}"


def _memory(page: Measuring) -> int:
    found: dict[str, int] = page.ask("memory")
    return found["told"] + found["left_out"]


def _runs(page: Measuring, seconds: float, together: int) -> Sequence[float]:
    found: list[float] = page.ask("runs", {"seconds": seconds, "together": together})
    return found


def _refuse(subject: Subject, plan: Plan) -> None:
    """Refuse what can't be measured in a browser, before one is started."""
    refuse_unusable(subject)
    if plan.memory_limit_bytes is not None:
        raise BadInputError(
            "found --memory-limit with a browser, expected none: a page's memory can't be capped",
            "its peak is measured all the same",
        )
    if outside := external_files(subject.path):
        raise BadInputError(
            f"{subject.path}: found weights in {outside[0].name}, expected all of them in the file itself",
            "save the model without external data to run it in a page",
        )
    _refuse_types(subject, {each.name: each.dtype for each in asked(subject.path)})


def _refuse_types(subject: Subject, dtypes: Mapping[str, str]) -> None:
    engine = browser_packages.ENGINES[subject.runtime]
    for name, dtype in dtypes.items():
        if dtype not in engine.dtypes:
            raise BadInputError(
                f"{subject.path}: found {name!r} of {dtype}, expected one of {', '.join(sorted(engine.dtypes))}, "
                f"which {engine.package} takes and gives",
                "a file with float inputs and outputs runs there: quantize with io = 'float'",
            )
