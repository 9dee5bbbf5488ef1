"""A picture of the INT8 candidates: how much each loses against how fast it is, the chosen one marked."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgekd.report.model import CandidateRow, Report

NAME = "int8.png"
MISSING = "no report.html and no figure of the INT8 candidates: pip install 'edgekd[report]'"


def possible() -> bool:
    """Whether the extra 'report' is installed."""
    return all(find_spec(name) is not None for name in ("matplotlib", "jinja2"))


def draw(report: Report, path: Path) -> None:
    """Write a PNG with a panel for each shipped file: the drop in % over the latency in ms, bounds as bars."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells that it reads the system's fonts
    import matplotlib as mpl
    from matplotlib.figure import Figure  # without pyplot: no window, and no state that outlives this call

    artifacts = list(dict.fromkeys(row.artifact for row in report.candidates))
    with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():  # a '$' in a name is a '$'
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box stands for it
        figure = Figure(figsize=(6 * len(artifacts), 4.5), layout="constrained")
        for number, artifact in enumerate(artifacts, 1):
            axes = figure.add_subplot(1, len(artifacts), number)
            _panel(axes, [row for row in report.candidates if row.artifact == artifact])
            axes.set_title(f"{artifact}, {report.pipeline} for {report.device}")
        figure.savefig(path, dpi=120, metadata={"Software": None})  # equal reports give equal files


def _panel(axes: Any, rows: Sequence[CandidateRow]) -> None:
    for row in rows:
        drop, bounds = 100 * row.drop, [[100 * (row.drop - row.drop_lower)], [100 * (row.drop_upper - row.drop)]]
        mark, colour = ("*", "tab:green") if row.chosen else ("o", "tab:gray")
        axes.errorbar(1e3 * row.latency_s, drop, bounds, fmt=mark, color=colour, markersize=14 if row.chosen else 6)
        axes.annotate(row.name, (1e3 * row.latency_s, drop), xytext=(6, 6), textcoords="offset points", fontsize=8)
    axes.set_xlabel("latency on this host [ms]")
    axes.set_ylabel("lost of the float version's quality [%]")
    axes.margins(x=0.25)
    axes.grid(alpha=0.3)
