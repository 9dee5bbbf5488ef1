"""edgekd profile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgekd.device import Device
    from edgekd.profile.foreign import Profiled
    from edgekd.profile.measurement import Measurement
    from edgekd.profile.observed import OperatorProfile
    from edgekd.profile.rules import Plan

PERCENTS = (50, 90, 95, 99)
ACCELERATORS = ("cpu", "gpu", "nnapi", "xnnpack", "hexagon", "qnn", "webgpu")
TOP = 10  # operators that are shown


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--device", required=True, metavar="NAME", help="A device's name or file.")
@click.option("--quick", is_flag=True, help="Measure in a hurry, for a look.")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads to run with; the device's own number by default.")
@click.option(
    "--shape", "shapes", multiple=True, metavar="NAME=1,128", help="An input's shape, if the file leaves it open."
)
@click.option("--load", type=click.IntRange(0, 256), default=0, help="Measure again beside so many busy cores.")
@click.option("--memory-limit", metavar="SIZE", help="Run with no more memory than this: '1GB'.")
@click.option("--sustained", is_flag=True, help="Run for ten minutes, or until the speed is steady.")
@click.option("--accelerator", type=click.Choice(ACCELERATORS), help="Ask a runner of your own on the device for it.")
@click.option("--emulated", is_flag=True, help="Also run it on an emulated Arm core, for its memory there.")
@click.option("--samples", type=click.Path(dir_okay=False, path_type=Path), help="Write all measured values: FILE.npz.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON, and nothing else.")
def command(**given: Any) -> int:
    """Measure FILE, a .onnx or .tflite file that anybody made, on a device.

    Its inputs are made up from the shapes in the file. Where the device isn't reached, its figures are predicted.
    """
    from edgekd import device, targets
    from edgekd.profile import made_inputs, saved
    from edgekd.profile.foreign import profile

    chosen = _asked(device.load(given["device"]), given["accelerator"])
    plan = _plan(given, chosen.threads, judged=targets.is_measured(chosen))
    try:
        found = profile(
            given["file"], chosen, plan, made_inputs.parse_shapes(given["shapes"]), emulated=given["emulated"]
        )
    except targets.IncompleteError as error:
        raise error.kept(given["samples"] or Path(f"{given['file'].stem}.incomplete.npz")) from None
    if given["samples"] is not None:
        saved.save((*found.measurements, *found.loaded), given["samples"], found.observed)
    if given["as_json"]:
        click.echo(json.dumps(_described(found, given, targets.name_of(chosen), plan), indent=1))
        return _code(found)
    click.echo(f"{given['file']} on {chosen.title}, {_way(targets.name_of(chosen))}")
    for line in (*_lines(found), *_warnings(found), *(f"input made: {text}" for text in found.inputs)):
        click.echo(line)
    return _code(found)


def _asked(device: Device, accelerator: str | None) -> Device:
    """The device with another accelerator in its [reach]."""
    from edgekd.errors import BadInputError

    if accelerator is None:
        return device
    if device.reach is None or device.reach.target not in ("adb", "ssh", "host"):
        raise BadInputError(
            f"found --accelerator with {device.name}, expected a device that is measured by a runner of yours",
            "give the device file a [reach] table with target = 'adb', and a runner there or in the cache of runners: "
            "benchmark_model, or onnxruntime_perf_test",
        )
    return device.model_copy(update={"reach": device.reach.model_copy(update={"accelerator": accelerator})})


def _code(found: Profiled) -> int:
    """A fallback to the CPU fails: its figures are not those that were asked for."""
    from edgekd.errors import EXIT_FAIL, EXIT_OK
    from edgekd.targets.accelerators import fell_back

    return EXIT_FAIL if any(fell_back(each.conditions) for each in found.measurements) else EXIT_OK


def _plan(given: Mapping[str, Any], threads: int, *, judged: bool) -> Plan:
    from dataclasses import replace

    from edgekd import units
    from edgekd.errors import BadInputError
    from edgekd.profile import rules

    limit = given["memory_limit"]
    if not judged and (given["load"] or given["sustained"] or limit):
        raise BadInputError(
            f"found --load, --sustained or --memory-limit with {given['device']}, expected a device that is measured",
            "a prediction knows none of them: give the device file a [reach] table, or use --device host",
        )
    plan = rules.plan(given["threads"] or threads, judged=judged, quick=given["quick"])
    return replace(
        plan,
        load=given["load"],
        sustained=given["sustained"],
        min_seconds=rules.SUSTAINED_S if given["sustained"] else plan.min_seconds,
        memory_limit_bytes=None if limit is None else int(units.parse(limit, "B", "--memory-limit")),
    )


def _way(target: str) -> str:
    return "predicted, with 90 % intervals" if target == "predicted" else f"measured by {target}"


def _accelerated(conditions: Mapping[str, str]) -> Iterator[str]:
    """Whether the accelerator that was asked for did it, and by whose words the figures are."""
    from edgekd.targets.accelerators import CPU, fell_back, partial

    asked = conditions.get("accelerator_requested", CPU)
    if fell_back(conditions):
        words = conditions.get("accelerator_words", "no reason was given")
        yield f"FAILED: {asked} was asked for, and the model ran on the CPU alone: {words}"
    elif asked != CPU:
        yield f"accelerator        {partial(conditions) or f'all of it runs on {asked}'}"
    if "runner_note" in conditions:
        yield f"runner             {conditions['runner']}: {conditions['runner_note']}"


def _lines(found: Profiled) -> Iterator[str]:
    yield from _accelerated(found.measurements[0].conditions)
    for each in found.measurements:
        yield from _shown(each)
    for each in found.loaded:
        if each.metric == "latency":
            yield from _shown(each, f"latency beside {each.conditions['busy_cores']} busy cores")
            yield _grown(found.measurements, each)
    if found.observed is not None:
        yield from _operators(found.observed.operators)


def _operators(told: OperatorProfile) -> Iterator[str]:
    """The ten operators that take longest, and what fell back."""
    from edgekd.tensor_names import readable

    if told.unavailable:
        yield f"{'operators':<18} unavailable: {told.unavailable}"
        return
    shares = f"{told.share_in('int8'):.1%} in INT8, {told.share_in('float'):.1%} in float"
    slower = told.profiled_s / told.plain_s
    yield f"{'operators':<18} {len(told.operators)}; of their time {shares} (profiled runs took {slower:.1f}x as long)"
    for each in told.largest(TOP):
        yield f"  {each.share:6.1%}  {each.runs_in:<10} {each.op_type}  {readable(each.name)}"
    if told.fell_back:
        yield f"  not run by {told.requested}: {', '.join(each.op_type for each in told.fell_back)}"


def _warnings(found: Profiled) -> Iterator[str]:
    from edgekd.targets import predicted

    for each in found.measurements:
        if each.predicted and each.metric == "latency":
            yield from (f"note: {text}" for text in predicted.warnings(each))


def _shown(each: Measurement, name: str = "") -> Iterator[str]:
    """A figure with its bounds, or why there is none."""
    from edgekd import units
    from edgekd.algorithms.order_statistics import effective_sample_size, stability
    from edgekd.algorithms.wander import session_bounds

    name = name or each.metric
    if each.unavailable:
        yield f"{name:<18} unavailable: {each.unavailable}"
    for statistic, interval in each.predicted.items():
        ends = f"{units.show(interval.lower, each.unit)}..{units.show(interval.upper, each.unit)}"
        yield f"{name:<18} {statistic} {units.show(interval.point, each.unit)} ({ends})"
    if len(each.values) == 1:
        yield f"{name:<18} {units.show(each.values[0], each.unit)}{_emulated(each)}"
    if len(each.values) < 2:
        return
    effective = effective_sample_size(each.values, 50)
    together = each.conditions.get("runs_per_sample", "1")
    noun = "runs" if together == "1" or each.metric == "single_run" else f"samples of {together} runs each"
    yield f"{name:<18} {len(each.values):,} {noun}, worth {effective:,.0f} independent ones"
    for percent in PERCENTS:
        bounds = session_bounds(each.values, percent)
        upper = "too few runs" if bounds.upper is None else f"at most {units.show(bounds.upper, each.unit)}"
        yield f"  p{percent} {units.show(bounds.point, each.unit)}, with 99 % confidence {upper}"
    steady = stability(each.values)
    if not steady.stable:
        yield f"  unstable: {'; '.join(steady.reasons)}"


def _emulated(each: Measurement) -> str:
    """What an emulated peak has in it."""
    from edgekd import units

    if each.provenance != "emulated":
        return ""
    base = units.show(float(each.conditions["base_memory_bytes"]), "B")
    return f" on {each.conditions['cpu']}; with the runtime alone {base}, both with qemu itself"


def _grown(quiet: tuple[Measurement, ...], loaded: Measurement) -> str:
    from edgekd.profile.foreign import growth

    alone = next(each for each in quiet if each.metric == "latency")
    if not alone.values or not loaded.values:
        return "  how much it grows isn't known without single runs"
    median, variance = growth(alone.values, loaded.values)
    return f"  {median:.2f}x the median without load, and {variance:.2f}x the variance"


def _described(found: Profiled, given: Mapping[str, Any], target: str, plan: Plan) -> dict[str, Any]:
    from edgekd.report.reading import PROFILE_VERSION
    from edgekd.rows import measurement_row

    return {
        "format_version": PROFILE_VERSION,
        "file": str(given["file"]),
        "device": given["device"],
        "target": target,
        "plan": asdict(plan),
        "inputs": found.inputs,
        "measurements": [asdict(measurement_row(each)) for each in found.measurements],
        "under_load": [asdict(measurement_row(each)) for each in found.loaded],
        "observed": None if found.observed is None else asdict(found.observed),
    }
