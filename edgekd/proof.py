"""Proof: what shows whether distilling was worth it, besides quality: agreement, calibration, single classes, shift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edgekd.algorithms import classification, confidence, retrieval
from edgekd.algorithms.agreement import agreement
from edgekd.algorithms.proportions import Bounds, paired_difference, wilson
from edgekd.evidence import Findings
from edgekd.judge import Scores
from edgekd.report.model import ClassRow, FigureRow, ShiftRow
from edgekd.tasks.base import Outputs

Arrays = Mapping[str, Any]


def interval(scores: Scores) -> Bounds:
    """The mean of per-item scores with its 95 % interval: Wilson's for hits and misses, else Student's.

    An interval of scores that all lie from 0 to 1 does so too; those of a correlation, and of a user's metric, needn't.
    """
    if np.isin(scores, (0.0, 1.0)).all():
        return Bounds(*wilson(int(scores.sum()), len(scores)))
    point, lower, upper = paired_difference(scores, np.zeros_like(scores))
    if scores.min() < 0 or scores.max() > 1:
        return Bounds(point, lower, upper)
    return Bounds(point, max(lower, 0.0), min(upper, 1.0))


def figure_rows(found: Findings) -> Iterator[FigureRow]:
    """For each model that was scored, what its outputs say besides the metric."""
    teacher = found.outputs.get("teacher")
    for name, arrays in found.outputs.items():
        figures = _ranked(arrays) if "ranks" in arrays else _classified(arrays) if "labels" in arrays else {}
        if teacher is not None and name != "teacher":
            figures = {**figures, **_agreed(arrays, teacher, vectors=found.tested["kind"] == Outputs.VECTORS)}
        for figure, value in figures.items():
            yield FigureRow(name, figure, value.point, value.lower, value.upper)
        temperature = found.artifacts[f"evaluate {name}"].facts.get("temperature")
        if temperature is not None:
            yield FigureRow(name, "fitted temperature", temperature)
            error = confidence.expected_calibration_error(arrays["outputs"] / temperature, arrays["labels"])
            yield FigureRow(name, "ECE at that temperature", error)


def class_rows(found: Findings) -> Iterator[ClassRow]:
    """What each INT8 file changes to single classes that the teacher knows."""
    teacher = found.outputs.get("teacher")
    if teacher is None or "labels" not in teacher:
        return
    labels, classes = teacher["labels"], teacher["outputs"].shape[1]
    names = found.tested.get("classes") or [str(number) for number in range(classes)]
    for name in found.shipped:
        changes = classification.per_class_change(
            teacher["outputs"].argmax(1), found.outputs[name]["outputs"].argmax(1), labels, classes
        )
        for change in changes:
            yield ClassRow(
                name,
                names[change.label],
                change.count,
                change.first_recall,
                change.second_recall,
                change.p_adjusted,
                change.is_loss(),
            )


def shift_rows(found: Findings) -> Iterator[ShiftRow]:
    """Quality under each kind and level of shift; the kind '' is the same items as they are."""
    for name, arrays in found.shifted.items():
        for dose, scores in arrays.items():
            kind, _, level = dose.rpartition("/")
            yield ShiftRow(name, kind, float(level or 0), *interval(scores), len(scores))


def _ranked(arrays: Arrays) -> dict[str, Bounds]:
    ranks = arrays["ranks"]
    return {
        "R@1": interval(retrieval.recall_at(ranks, 1)),
        "R@10": interval(retrieval.recall_at(ranks, 10)),
        "nDCG@10": interval(retrieval.ndcg_at(ranks, 10)),
    }


def _classified(arrays: Arrays) -> dict[str, Bounds]:
    logits, labels = arrays["outputs"], arrays["labels"]
    macro = classification.macro_f1(logits.argmax(1), labels, logits.shape[1])
    figures = {"macro-F1": _exact(macro), "ECE": _exact(confidence.expected_calibration_error(logits, labels))}
    if "out_of_domain" in arrays:
        outside = confidence.confidence(arrays["out_of_domain"])
        figures["AUROC of confidence"] = _exact(confidence.auroc(confidence.confidence(logits), outside))
    return figures


def _agreed(arrays: Arrays, teacher: Arrays, *, vectors: bool) -> dict[str, Bounds]:
    if "outputs" not in arrays or arrays["outputs"].shape != teacher["outputs"].shape:
        return {}
    if vectors:
        return {"mean cosine to the teacher": _exact(agreement(arrays["outputs"], teacher["outputs"]).cosine)}
    same = arrays["outputs"].argmax(1) == teacher["outputs"].argmax(1)
    return {"agreement with the teacher": Bounds(*wilson(int(same.sum()), len(same)))}


def _exact(value: float) -> Bounds:
    return Bounds(value, value, value)
