"""Accelerators: which one was asked for, and which one a benchmark says that it really used.

Runtimes fall back to the CPU without an error, so that only their own words tell. Sources: benchmark_tflite_model.cc
and subgraph.cc of TFLite, session_state.cc (VerifyEachNodeIsAssignedToAnEp) of onnxruntime.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

CPU = "cpu"
DELEGATES = {"gpu": "GPU", "nnapi": "NNAPI", "xnnpack": "XNNPACK", "hexagon": "Hexagon"}  # their names in TFLite's logs
PROVIDERS = {"nnapi": "Nnapi", "qnn": "QNN", "xnnpack": "Xnnpack", "webgpu": "WebGpu"}  # …ExecutionProvider
APPLIED = r"Explicitly applied {} delegate, and the model graph will be (completely|partially) executed"
REPLACED = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate")
PLACED = re.compile(r"(?:All nodes|Node\(s\)) placed on \[(\w+)ExecutionProvider\]\. Number of nodes: (\d+)")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What ran where: ``used`` is what was asked for, that and the CPU, or the CPU alone."""

    requested: str
    used: str
    on_cpu: int | None = None  # operators; None where the program doesn't tell
    words: str = ""  # the program's own

    def conditions(self) -> Mapping[str, str]:
        """For the measurements."""
        told = {"operators_on_cpu": str(self.on_cpu)} if self.on_cpu is not None else {}
        said = {"accelerator_words": self.words} if self.words else {}
        return {"accelerator_requested": self.requested, "accelerator": self.used, **told, **said}


def by_tflite(requested: str, log: str) -> Assignment:
    """What benchmark_model's log says.

    >>> by_tflite("gpu", "Though GPU delegate is explicitly applied, the model graph will not be executed").used
    'cpu'
    """
    if requested == CPU:
        return Assignment(CPU, CPU)
    found = re.search(APPLIED.format(DELEGATES[requested]), log)
    replaced = REPLACED.findall(log)
    left = max(0, int(replaced[0][1]) - int(replaced[0][0])) if replaced else None
    if found is None:
        words = re.search(rf"^.*\b{DELEGATES[requested]}\b.*not be executed.*$", log, re.MULTILINE)
        return Assignment(requested, CPU, None, words[0].strip() if words else "it doesn't say that it applied it")
    if found[1] == "completely":
        return Assignment(requested, requested, 0)
    return Assignment(requested, f"{requested} and {CPU}", left)


def by_onnxruntime(requested: str, log: str) -> Assignment:
    """What onnxruntime's verbose log says; operators that an accelerator takes together count there as one.

    >>> by_onnxruntime("nnapi", "All nodes placed on [CPUExecutionProvider]. Number of nodes: 9").used
    'cpu'
    """
    placed = {name.lower(): int(count) for name, count in PLACED.findall(log)}
    if requested == CPU:
        return Assignment(CPU, CPU)
    if PROVIDERS[requested].lower() not in placed:
        words = "; ".join(f"{count} operators on {name}" for name, count in placed.items())
        return Assignment(requested, CPU, placed.get(CPU), words or "it doesn't say where operators run")
    left = placed.get(CPU, 0)
    return Assignment(requested, f"{requested} and {CPU}" if left else requested, left)


def fell_back(conditions: Mapping[str, str]) -> bool:
    """Whether an accelerator was asked for, and the CPU did it all."""
    return conditions.get("accelerator_requested", CPU) != CPU and conditions.get("accelerator") == CPU


def partial(conditions: Mapping[str, str]) -> str:
    """What to say of operators that stayed on the CPU beside an accelerator; '' where none did."""
    used = conditions.get("accelerator", CPU)
    if not used.endswith(f" and {CPU}"):
        return ""
    count = conditions.get("operators_on_cpu", "an unknown number of")
    return f"runs on {conditions['accelerator_requested']} but for {count} operators, which stay on the CPU"
