"""Table: a line for each file, and the lines of the issue: what is wanted, what was found, and whether that is enough.

edgekd's file is compared with those that rivals wrote of the same float file. A rival counts as no slower unless the
99 % interval of the ratio of both times, taken in the same turns, lies above 1; and edgekd's file counts as no slower
than the fastest rival unless that interval lies above 1 the other way. So both times the doubt is the rival's gain or
edgekd's, whichever the noise of the machine decides, and the interval is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from distilling.row import Row

from edgekd.profile.measurement import Interval
from edgekd.profile.turns import speed_up
from quantizing.making import OURS, Made
from quantizing.measuring import Measured, difference, interval

POINTS = -0.3  # of 100: the least lower bound of edgekd's quality less a rival's
WITHIN = 0.01  # of float's quality: what a rival may lose to be raced against
WIDTHS = (14, 7, 23, 26, 30, 9, 9, 16, 8)
HEAD = ("model", "format", "tool", "setting", "quality", "drop", "ms", "times float", "MB")
MINILM = {"onnx": (0.997, 2.2), "tflite": (0.9985, 5.0)}  # cosine to float, times as fast
EFFNET = (0.95, 1.5)  # agreement, times as fast
OTHERS = 2  # rivals beside NNCF without which nothing is said


def lines(found: Iterable[Measured], failed: Iterable[tuple[str, Made]]) -> Iterator[str]:
    """A line for each file, and for each that could not be made."""
    yield _line(HEAD)
    for each in found:
        quality, faster = interval(each.quality), each.faster
        more = ", ".join(f"{name} {value:.4f}" for name, value in each.quality.more.items())
        yield _line(
            (
                *(each.model, each.made.form, each.made.tool, each.made.setting),
                f"{quality.point:.4f} ({quality.lower:.4f}..{quality.upper:.4f})",
                f"{100 * each.drop:.2f} %",
                f"{1e3 * each.latency_s:.3f}",
                _times(faster),
                f"{each.size_bytes / 1e6:.2f}" if each.size_bytes else "-",
            ),
            more,
        )
    for model, made in failed:
        yield _line((model, made.form, made.tool, made.setting), f"failed: {made.error}")


def rows(found: Sequence[Measured]) -> Iterator[Row]:
    """The issue's lines."""
    yield _counts(found)
    for ours in (each for each in found if each.is_ours):
        rivals = [each for each in found if _races(each, ours)]
        yield _quality(ours, rivals)
        yield _latency(ours, rivals)
        yield from _own(ours)
        yield _honest(ours)


def _races(each: Measured, ours: Measured) -> bool:
    return each.made.tool != OURS and (each.model, each.made.form) == (ours.model, ours.made.form)


def _counts(found: Sequence[Measured]) -> Row:
    tools = sorted({each.made.tool for each in found} - {OURS})
    met = "nncf" in tools and len(tools) > OTHERS
    return Row("rivals that ran", f"nncf + {OTHERS}", ", ".join(tools) or "none", met)


def _quality(ours: Measured, rivals: Sequence[Measured]) -> Row:
    """Against the best of those that aren't slower."""
    name, target = f"{_name(ours)}: quality - best rival's", f">= {POINTS:g}"
    as_fast = [each for each in rivals if speed_up(each.seconds, ours.seconds).lower <= 1]
    if not as_fast:
        return Row(name, target, "every rival is slower", met=True)
    best = max(as_fast, key=lambda each: float(each.quality.scores.mean()))
    apart = difference(ours.quality, best.quality)
    shown = f"{100 * apart.point:+.2f} ({100 * apart.lower:+.2f}..{100 * apart.upper:+.2f})"
    return Row(name, target, f"{shown} points, {best.made.tool} {best.made.setting}", 100 * apart.lower >= POINTS)


def _latency(ours: Measured, rivals: Sequence[Measured]) -> Row:
    """Against the fastest of those that lose little."""
    name, target = f"{_name(ours)}: latency / fastest rival's", "<= 1"
    good = [each for each in rivals if each.drop <= WITHIN]
    if not good:
        return Row(name, target, f"every rival loses over {WITHIN:.0%}", met=True)
    fastest = min(good, key=lambda each: each.latency_s)
    ratio = speed_up(ours.seconds, fastest.seconds)
    lost = f", ours loses {ours.drop:.1%}" if ours.drop > WITHIN else ""
    return Row(name, target, f"{_times(ratio)}, {fastest.made.tool} {fastest.made.setting}{lost}", ratio.lower <= 1)


def _own(ours: Measured) -> Iterator[Row]:
    """What is wanted of a single model."""
    quality, speed = MINILM.get(ours.made.form, EFFNET) if ours.model == "minilm" else EFFNET
    if ours.model not in ("minilm", "effnet"):
        return
    found, faster = interval(ours.quality), ours.faster
    shown = f"{found.point:.4f} ({found.lower:.4f}..{found.upper:.4f})"
    more = "".join(f", {name} {value:.4f}" for name, value in ours.quality.more.items())
    yield Row(f"{_name(ours)}: quality", f">= {quality:g}", shown + more, found.point >= quality)
    yield Row(f"{_name(ours)}: times as fast as float", f">= {speed:g}", _times(faster), faster.point >= speed)


def _honest(ours: Measured) -> Row:
    """A file that is slower than float must not have been said to be faster when it was made."""
    slower, said_faster = ours.faster.upper < 1, ours.made.claim is not None and ours.made.claim.lower > 1
    said = "" if ours.made.claim is None else f", said {_times(ours.made.claim)}"
    return Row(
        f"{_name(ours)}: not slower, or said so", "true", _times(ours.faster) + said, not (slower and said_faster)
    )


def _name(each: Measured) -> str:
    return f"{each.model} {each.made.form}"


def _times(found: Interval) -> str:
    return f"{found.point:.2f} ({found.lower:.2f}..{found.upper:.2f})"


def _line(cells: Sequence[str], more: str = "") -> str:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=False))
    return f"{' '.join(padded)} {more}".rstrip()
