"""MODEL_CARD.md, filled from the report: use, files, data, quality, calibration, budget, limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgekd import units
from edgekd.bundle.inputs import BundleInputs
from edgekd.bundle.manifest import Model, Place
from edgekd.bundle.mediapipe import obstacles

NAME = "MODEL_CARD.md"
USES = {
    "image-classification": "It tells which of {classes} classes an image belongs to.",
    "text-classification": "It tells which of {classes} classes a text belongs to.",
    "text-embedding": "It turns a text into a vector; texts of like meaning have vectors of a high cosine.",
}
OWN = "It does the task of the user's own that the pipeline names: {task}."
FOR = "It is meant for inputs like those of the data below, on {device}, and was judged against that device's budget."
QUALITY = ("model", "{metric}", "95 % interval", "{item}s")
BUDGET = ("file", "limit", "value", "interval", "evidence", "verdict")
ONLY_PREDICTED = "The figures marked `predicted` come from a model of the device and not from the device."
NO_OTHERS = "Nothing is known of inputs that differ from the test data but what stands here."


def files(inputs: BundleInputs) -> Mapping[Place, bytes]:
    """The card."""
    sections = (_head, _use, _models, _data, _quality, _calibration, _budget, _limits, _terms)
    lines = (line for section in sections for line in (*section(inputs), ""))
    return {NAME: ("\n".join(lines).rstrip() + "\n").encode()}


def _head(inputs: BundleInputs) -> Iterator[str]:
    manifest = inputs.manifest
    yield f"# {_plain(manifest.name)} for {_plain(manifest.device)}"
    yield ""
    yield f"Made by edgekd {manifest.edgekd_version}. Verdict against the budget: **{manifest.verdict}**."


def _use(inputs: BundleInputs) -> Iterator[str]:
    manifest = inputs.manifest
    calibrated = inputs.report["calibration"].get("classes") or 0
    yield "## Intended use"
    yield ""
    yield USES.get(manifest.task, OWN).format(classes=calibrated, task=_plain(manifest.task))
    yield FOR.format(device=_plain(manifest.device))


def _models(inputs: BundleInputs) -> Iterator[str]:
    yield "## Files"
    yield ""
    rows = [(each.file, each.isa, units.show(each.size_bytes, "B"), _least(each)) for each in inputs.manifest.models]
    yield from _table(("file", "made for", "size", "needs at least"), rows)
    for each in (model for model in inputs.manifest.models if model.format == "tflite"):
        yield ""
        made = inputs.manifest.preprocessing
        found = list(obstacles(each, made, inputs.files.get(getattr(made, "tokenizer", ""))))
        yield from (f"- {each.file} in MediaPipe Tasks: {why}." for why in found)
        yield from () if found else (f"{each.file} is all that MediaPipe Tasks needs.",)


def _least(model: Model) -> str:
    return ", ".join(f"{each.runtime} {each.version}" for each in model.minimum) or "not known"


def _data(inputs: BundleInputs) -> Iterator[str]:
    report = inputs.report
    yield "## Data"
    yield ""
    items = next(iter(report["quality"].values()))["items"]
    yield f"Tested on {items:,} {units.plural(report['item'])} of: {_plain(report['data'])}."
    yield "No training, calibration or choice of a model has seen them."


def _quality(inputs: BundleInputs) -> Iterator[str]:
    report = inputs.report
    yield "## Quality"
    yield ""
    names = [each.format(metric=_plain(report["metric"]), item=report["item"]) for each in QUALITY]
    rows = [
        (name, f"{row['value']:.2%}", f"{row['lower']:.2%} to {row['upper']:.2%}", f"{row['items']:,}")
        for name, row in report["quality"].items()
    ]
    yield from _table(names, rows)
    for row in report["differences"]:
        yield ""
        bounds = f"{row['lower'] * 100:+.2f} to {row['upper'] * 100:+.2f}, paired, 95 %"
        yield f"{row['first']} minus {row['second']}: {row['difference'] * 100:+.2f} points ({bounds})."


def _calibration(inputs: BundleInputs) -> Iterator[str]:
    manifest, told = inputs.manifest, inputs.report["calibration"]
    yield "## Calibration"
    yield ""
    yield f"The ranges of INT8 were set by {told['samples']:,} training rows."
    errors = [row for row in inputs.report["figures"] if row["figure"] == "ECE" and row["model"].endswith("_int8")]
    for row in errors:
        yield f"Expected calibration error of {row['model']}'s probabilities: {row['value']:.4f}."
    if manifest.postprocessing.temperatures:
        listed = ", ".join(f"{value:.4g} for {name}" for name, value in manifest.postprocessing.temperatures.items())
        yield f"Logits are divided by a temperature before the softmax: {listed}."


def _budget(inputs: BundleInputs) -> Iterator[str]:
    yield "## Budget"
    yield ""
    yield from _table(BUDGET, [_check(row) for row in inputs.report["checks"]])


def _check(row: Mapping[str, Any]) -> Sequence[str]:
    def amount(value: float | None) -> str:
        if value is None:
            return "?"
        return units.show(value, row["unit"]) if row["unit"] else f"{value:.5g}"

    exact = row["lower"] == row["upper"] == row["point"]
    interval = "" if exact else f"{amount(row['lower'])} to {amount(row['upper'])}"
    return row["artifact"], row["limit"], amount(row["point"]), interval, row["provenance"], row["verdict"]


def _limits(inputs: BundleInputs) -> Iterator[str]:
    report = inputs.report
    yield "## Limits"
    yield ""
    yield NO_OTHERS
    if any(row["provenance"] == "predicted" for row in report["checks"]):
        yield ONLY_PREDICTED
    shifts = [row for row in report["shifts"] if row["model"].endswith("_int8")]
    if shifts:
        yield ""
        rows = [(row["model"], *_shift(row)) for row in shifts]
        yield from _table(("model", "inputs made harder", report["metric"], "95 % interval"), rows)
    yield ""
    yield from (f"- {_plain(note)}" for note in report["notes"])


def _shift(row: Mapping[str, Any]) -> Sequence[str]:
    kind = f"{row['kind']} {row['level']:g}" if row["kind"] else "as they are"
    return kind, f"{row['value']:.1%}", f"{row['lower']:.1%} to {row['upper']:.1%}"


def _terms(inputs: BundleInputs) -> Iterator[str]:
    yield "## Licences"
    yield ""
    rows = [(each.part, each.name, each.terms, each.source, each.file or "") for each in inputs.manifest.licences]
    yield from _table(("part", "name", "terms", "source", "text"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _plain(text: object) -> str:
    """One line, in which nothing ends a cell of a table, or begins an element of HTML."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(str(text).split()).replace("|", "\\|"))
