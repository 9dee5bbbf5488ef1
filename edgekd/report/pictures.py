"""The pictures of report.html: SVG by matplotlib, with the page's own colours and font, so light and dark both do."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any

from edgekd.report.details import MemoryRow
from edgekd.report.model import CandidateRow
from edgekd.report.tradeoff import Spot

# A colour that stands for one of the page's; matplotlib knows none of CSS.
INK, LINE, ONNX, TFLITE, BAD, FAINT = (f"#0102{number:02x}" for number in range(1, 7))
NAMED = {
    INK: "currentColor",
    LINE: "var(--line)",
    ONNX: "var(--onnx)",
    TFLITE: "var(--tflite)",
    BAD: "var(--fail)",
    FAINT: "var(--faint)",
}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it is found, read aloud, and has the page's font
    "text.parse_math": False,  # a '$' in a name is a '$'
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "grid.color": LINE,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}
MARKS = {"teacher": ("s", 7), "student": ("^", 7), "pruned": ("D", 6), "INT8": ("*", 12)}  # and their sizes
WIDTH_INCHES = 4.0  # about as wide as a phone is, so that text keeps its size there
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0
ID = re.compile(r'(\bid="|href="#|url\(#)')


def svg(name: str, height_inches: float, paint: Callable[[Any], None]) -> str:
    """What ``paint`` draws on a figure, as an <svg> element to stand in a page; ``name`` keeps its ids its own."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells that it reads the system's fonts
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure  # without pyplot: no window, and no state that outlives this call

    with mpl.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the page's own font draws the text
        warnings.filterwarnings("ignore", message="constrained_layout not applied")  # long names leave little room
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        paint(figure)
        out = StringIO()
        # not savefig, which draws all of it once more beforehand, a sixth of the time of a report
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(out, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", out.getvalue())
    return _of_the_page(drawn[drawn.index("<svg") :], name)


def _of_the_page(drawn: str, name: str) -> str:
    """With ids that no other picture has, the page's colours, and hidden from screen readers: the caption tells it."""
    for colour, meaning in NAMED.items():
        drawn = drawn.replace(colour, meaning)
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", drawn, count=1)
    drawn = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", drawn, count=1)
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", name)  # it has a file's name in it, which may come from anywhere
    return ID.sub(rf"\g<1>{plain}-", drawn).replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)


def tradeoff(spots: Mapping[str, Sequence[Spot]], metric: str) -> str:
    """Quality over latency from teacher to INT8, a line for each format."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for (form, chain), colour in zip(spots.items(), (ONNX, TFLITE), strict=False):
            axes.plot(*_path(chain), color=colour, label=form, linewidth=1.2)
            for spot in chain:
                _mark(axes, spot, colour)
        for stage, (mark, size) in MARKS.items():
            if any(spot.stage == stage for chain in spots.values() for spot in chain):
                axes.plot([], [], mark, color=INK, markersize=size, label=stage)
        axes.set_xscale("log")
        _plain_times(axes)
        axes.set(xlabel="median latency [ms]", ylabel=f"{_short(metric)} [%]")
        axes.margins(0.12)
        axes.grid(alpha=0.6)
        figure.legend(loc="outside upper left", ncols=3, fontsize=9)

    return svg("tradeoff", 3.6, paint)


def _path(chain: Sequence[Spot]) -> tuple[list[float], list[float]]:
    """Latencies in ms and qualities in %, from teacher to INT8."""
    known = [(spot.latency_s, spot.quality.value) for spot in chain if spot.latency_s and spot.quality]
    return [1e3 * latency for latency, _ in known], [100 * value for _, value in known]


def _mark(axes: Any, spot: Spot, colour: str) -> None:
    if spot.latency_s is None or spot.quality is None:
        return
    value, (mark, size) = spot.quality, MARKS[spot.stage]
    bounds = [[100 * (value.value - value.lower)], [100 * (value.upper - value.value)]]
    axes.errorbar(
        1e3 * spot.latency_s, 100 * value.value, bounds, fmt=mark, color=colour, markersize=size, elinewidth=0.6
    )


def sizes(rows: Sequence[tuple[str, float, str]]) -> str:
    """A bar for each file: name, bytes, and the size as it is printed."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        names = [name for name, _, _ in rows]
        colours = [TFLITE if "tflite" in name else ONNX for name in names]
        drawn = axes.barh(range(len(rows)), [size / 1e6 for _, size, _ in rows], color=colours)
        axes.bar_label(drawn, [shown for _, _, shown in rows], padding=4, fontsize=9)
        axes.set_yticks(range(len(rows)), [_short(name) for name in names])
        axes.invert_yaxis()
        axes.set_xlabel("size [MB]")
        axes.margins(x=0.25)

    return svg("sizes", 0.7 + 0.3 * len(rows), paint)


def distribution(artifact: str, values: Any, marks: Mapping[str, float], limit: float | None) -> str:
    """How often which latency was measured, with percentiles and, where it lies near, the limit."""
    import numpy as np

    ordered = np.sort(np.asarray(values, np.float64)) * 1e3
    low, high = ordered[0], max(ordered[min(int(0.995 * len(ordered)), len(ordered) - 1)], 1e3 * max(marks.values()))
    shown = limit is not None and 1e3 * limit <= 3 * high

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        colour = TFLITE if "tflite" in artifact else ONNX
        counts, edges = np.histogram(ordered, bins=60, range=(low, max(high, low * 1.01)))
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.75)
        for number, (name, value) in enumerate(marks.items()):
            axes.axvline(1e3 * value, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
            axes.annotate(
                name,
                (1e3 * value, 0.97 - 0.09 * number),
                xycoords=("data", "axes fraction"),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=9,
            )
        if limit is not None and shown:
            axes.axvline(1e3 * limit, color=BAD, linewidth=2, label="limit")
            axes.legend(loc="upper right")
        axes.set(xlabel="latency of one inference [ms]", ylabel="runs")
        axes.margins(x=0.02)

    return svg(f"latency-{artifact}", 2.6, paint)


def intervals(rows: Sequence[tuple[str, float, float, float]], limit: float | None) -> str:
    """Predicted percentiles with their intervals: name, point, lower, upper, all in seconds."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for place, (name, point, lower, upper) in enumerate(rows):
            colour = TFLITE if "tflite" in name else ONNX
            axes.plot([1e3 * lower, 1e3 * upper], [place, place], color=colour, linewidth=4, alpha=0.45)
            axes.plot([1e3 * point], [place], "o", color=colour)
        if limit is not None:
            axes.axvline(1e3 * limit, color=BAD, linewidth=2, label="limit")
            axes.legend(loc="lower left")
        axes.set_yticks(range(len(rows)), [_short(name) for name, *_ in rows])
        axes.invert_yaxis()
        axes.set_xscale("log")
        _plain_times(axes)
        axes.set_xlabel("latency of one inference [ms]")
        axes.grid(axis="x", alpha=0.6)

    return svg("predicted", 0.8 + 0.28 * len(rows), paint)


def curves(courses: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """For each step that trained, the quality on rows kept for choosing and the loss, epoch by epoch."""

    def paint(figure: Any) -> None:
        quality, loss = figure.subplots(2, 1, sharex=True)
        for (name, course), style in zip(courses.items(), ("-o", "--s", ":^", "-.d") * len(courses), strict=False):
            colour = (ONNX, TFLITE, INK, FAINT)[list(courses).index(name) % 4]
            for axes, key, factor in ((quality, "selection_quality", 100), (loss, "epoch_losses", 1)):
                values = [factor * value for value in course.get(key, ())]
                axes.plot(range(1, len(values) + 1), values, style, color=colour, label=_short(name), markersize=3)
        quality.set_ylabel("quality [%]")
        loss.set(xlabel="epoch", ylabel="loss")
        loss.xaxis.get_major_locator().set_params(integer=True)
        for axes in (quality, loss):
            axes.grid(alpha=0.6)
        quality.legend(loc="best", fontsize=9)

    return svg("training", 4.0, paint)


def memory(course: MemoryRow) -> str:
    """Resident memory over time, with what the process had done by when."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        colour = TFLITE if "tflite" in course.artifact else ONNX
        axes.plot(course.seconds, [size / 1e6 for size in course.resident_bytes], color=colour, linewidth=1.4)
        for number, (name, at_s) in enumerate(course.marks.items()):
            axes.axvline(at_s, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
            place = (at_s, 0.24 - 0.09 * number)
            offset = {"xycoords": ("data", "axes fraction"), "xytext": (3, 0), "textcoords": "offset points"}
            axes.annotate(name, place, fontsize=9, **offset)
        axes.set(xlabel="time since the process started [s]", ylabel="resident [MB]", title=_short(course.artifact))
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.6)

    return svg(f"memory-{course.artifact}", 2.6, paint)


def candidates(artifact: str, rows: Sequence[CandidateRow]) -> str:
    """What each INT8 candidate loses against how fast it is; the chosen one is a star."""

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        colour = TFLITE if "tflite" in artifact else ONNX
        for row in rows:
            bounds = [[100 * (row.drop - row.drop_lower)], [100 * (row.drop_upper - row.drop)]]
            drawn = {"fmt": "*", "markersize": 14, "color": colour} if row.chosen else {"fmt": "o", "color": FAINT}
            axes.errorbar(1e3 * row.latency_s, 100 * row.drop, bounds, elinewidth=0.8, **drawn)
        axes.set(xlabel="latency on this host [ms]", ylabel="lost of float's quality [%]", title=_short(artifact))
        axes.margins(x=0.3)
        axes.grid(alpha=0.6)

    return svg(f"candidates-{artifact}", 2.6, paint)


def _short(name: str) -> str:
    """A name that leaves room for the picture."""
    return name if len(name) <= 24 else f"{name[:23]}…"


def _plain_times(axes: Any) -> None:
    """Ticks of a logarithmic axis as plain numbers: '0.05', not a power of ten in mathematical notation."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.minorticks_off()
