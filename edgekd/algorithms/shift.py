"""Test inputs under shift: what a model meets outside its test set, in stated doses and the same on every run."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]
Item = TypeVar("Item")

WHITE = 255.0
KEYS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")  # each row stands half a key to the right of the one above
WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Shift(Generic[Item]):
    """One kind of shift: the levels that are reported, what a level is a share of, and what it does to one item."""

    levels: tuple[float, ...]
    unit: str
    apply: Callable[[Item, float, np.random.Generator], Item]


@overload
def shifted(kind: str, level: float, items: Image, seed: int = 0) -> Image: ...
@overload
def shifted(kind: str, level: float, items: Sequence[str], seed: int = 0) -> list[str]: ...
def shifted(kind: str, level: float, items: Image | Sequence[str], seed: int = 0) -> Image | list[str]:
    """Return ``items`` shifted: texts by a kind of ``TEXT_SHIFTS``, images by one of ``IMAGE_SHIFTS``.

    Images are (N, H, W, C) from 0 to 255 and keep their type. What is drawn depends on ``seed`` and the
    row alone: a row is the same whatever stands in the others, and levels differ in dose, not in luck. Any level from
    0 to 1 will do; those in the two tables are the reported ones.

    >>> shifted("truncation", 0.5, ["a red kite over the hill"])
    ['a red kite']
    >>> shifted("darkness", 0.5, np.full((1, 1, 2, 1), 101, np.uint8)).ravel().tolist()
    [50, 50]

    Raises:
        ValueError: no such kind, a level outside 0 to 1, or images of another shape.

    """
    if not 0 <= level <= 1:
        raise ValueError(f"found {kind} at level {level}, expected 0 to 1")
    if not isinstance(items, np.ndarray):
        text_shift = _named(kind, TEXT_SHIFTS)
        return [text_shift.apply(text, level, _chance(seed, row)) for row, text in enumerate(items)]
    if items.ndim != 4:
        raise ValueError(f"found images of shape {items.shape}, expected (N, H, W, C)")
    image_shift, images = _named(kind, IMAGE_SHIFTS), np.empty_like(items)
    for row, image in enumerate(items):
        images[row] = _like(image, image_shift.apply(image.astype(np.float64), level, _chance(seed, row)))
    return images


def mistyped(text: str, level: float, random: np.random.Generator) -> str:
    """Return ``text`` with a typing mistake at each letter or digit with probability ``level``.

    Of the mistakes that are possible there, one is taken, each as likely as the others: the letter and the next are
    swapped; it is left out; a neighbouring key is struck after it, or instead of it. Neighbours are those of a QWERTY
    keyboard, so letters that it hasn't are only swapped or left out. Nothing happens across words, and no word is left
    out as a whole. 0.02 is about what people leave uncorrected on phones (2.3 %: Palin et al. 2019,
    https://doi.org/10.1145/3338286.3340120), 0.1 is one mistake in every second word.
    Source of the four: Pruthi et al. 2019, https://arxiv.org/abs/1905.11268; of swaps and neighbouring keys: Belinkov
    and Bisk 2018, https://arxiv.org/abs/1711.02173

    >>> mistyped("the quick brown fox jumps", 0.2, np.random.default_rng(4))
    'the quifk brown foxc jumos'
    """
    hits, choices, keys = random.random((3, len(text)))
    typed: list[str] = []
    at = 0
    while at < len(text):
        mistakes = _mistakes(typed[-1:], text[at : at + 2], keys[at]) if hits[at] < level else []
        out, used = mistakes[int(choices[at] * len(mistakes))] if mistakes else (text[at], 1)
        typed.extend(out)
        at += used
    return "".join(typed)


def truncated(text: str, level: float, _random: np.random.Generator) -> str:
    """Return the first words of ``text``, a share of ``level`` of them, rounded up, and at least one.

    >>> truncated("one two three four five", 0.5, np.random.default_rng(0))
    'one two three'
    """
    ends = [word.end() for word in WORD.finditer(text)]
    kept = max(1, math.ceil(level * len(ends) - 1e-9))  # 0.07 * 100 is a little more than 7
    return text[: ends[kept - 1]] if ends else text


def upper_case(text: str, level: float, random: np.random.Generator) -> str:
    """Return ``text`` with each word in upper case with probability ``level``. An uncased model doesn't see it.

    >>> upper_case("buy now", 1.0, np.random.default_rng(0))
    'BUY NOW'
    """
    return WORD.sub(lambda word: word[0].upper() if random.random() < level else word[0], text)


def noisy(image: Image, level: float, random: np.random.Generator) -> Image:
    """Return ``image`` (H, W, C) with normal noise of standard deviation ``level`` * 255 on every value."""
    return image + random.normal(0.0, 1.0, image.shape) * level * WHITE


def blurred(image: Image, level: float, _random: np.random.Generator) -> Image:
    """Return ``image`` (H, W, C) under a Gaussian whose sigma is ``level`` of its shorter side.

    The kernel exp(-x^2 / 2 sigma^2) is cut at 4 sigma and has the sum 1; beyond an edge its pixels go on. A sigma
    below an eighth of a pixel changes nothing.

    >>> line = np.array([[[0.0], [0.0], [9.0], [0.0], [0.0]]])
    >>> blurred(line, 0.5, np.random.default_rng(0)).round(2).ravel().tolist()
    [0.0, 0.96, 7.08, 0.96, 0.0]
    """
    sigma = level * min(image.shape[:2])
    reach = int(4 * sigma + 0.5)
    if reach == 0:
        return image
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        margins = [(reach, reach) if side == axis else (0, 0) for side in range(3)]
        padded = np.lib.stride_tricks.sliding_window_view(np.pad(image, margins, mode="edge"), len(kernel), axis)
        image = padded @ kernel
    return image


def brightened(image: Image, level: float, _random: np.random.Generator) -> Image:
    """Return ``image`` (H, W, C) with ``level`` * 255 added to every value; what passes 255 is cut off."""
    return image + level * WHITE


def darkened(image: Image, level: float, _random: np.random.Generator) -> Image:
    """Return ``image`` (H, W, C) with every value multiplied by ``level``."""
    return image * level


TEXT_SHIFTS: dict[str, Shift[str]] = {
    "typos": Shift((0.02, 0.05, 0.1), "of the letters", mistyped),
    "truncation": Shift((0.75, 0.5, 0.25), "of the words are left", truncated),
    "upper case": Shift((0.5, 1.0), "of the words", upper_case),
}

# The idea, and all levels but those of darkness: Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261.
# Noise and brightness have the lowest and highest of five severities of their CIFAR-10-C, and the middle one of their
# ImageNet-C. Blur has CIFAR-10-C's severities 1, 3 and 5: 0.4, 0.7 and 1 pixel of 32.
IMAGE_SHIFTS: dict[str, Shift[Image]] = {
    "noise": Shift((0.04, 0.1, 0.18), "of 255, standard deviation", noisy),
    "blur": Shift((0.0125, 0.021875, 0.03125), "of the shorter side, sigma", blurred),
    "brightness": Shift((0.05, 0.15, 0.3), "of 255 added", brightened),
    "darkness": Shift((0.5, 0.25), "of the light left", darkened),
}


def _named(kind: str, shifts: dict[str, Shift[Item]]) -> Shift[Item]:
    if kind not in shifts:
        raise ValueError(f"found a shift {kind!r}, expected one of {', '.join(shifts)}")
    return shifts[kind]


def _chance(seed: int, row: int) -> np.random.Generator:
    return np.random.default_rng([seed, row])


def _like(image: Image, changed: Image) -> Image:
    inside = np.clip(changed, 0.0, WHITE)
    return inside if image.dtype.kind == "f" else np.rint(inside)


def _mistakes(before: list[str], ahead: str, chance: float) -> list[tuple[str, int]]:
    """Return what can be typed for the next one or two characters, and how many of them it stands for."""
    letter, following = ahead[0], ahead[1:]
    if not letter.isalnum():
        return []
    found = []
    if following.isalnum() and following != letter:
        found.append((following + letter, 2))
    if following.isalnum() or (before and before[0].isalnum()):
        found.append(("", 1))
    near = NEIGHBOURS.get(letter.lower(), "")
    if near:
        key = near[int(chance * len(near))]
        key = key.upper() if letter.isupper() else key
        found += [(letter + key, 1), (key, 1)]
    return found


def _neighbours() -> dict[str, str]:
    places = {key: (row, column + row / 2) for row, keys in enumerate(KEYS) for column, key in enumerate(keys)}
    return {
        key: "".join(
            other
            for other, (y, x) in places.items()
            if other != key and abs(y - places[key][0]) <= 1 and abs(x - places[key][1]) <= 1
        )
        for key in places
    }


NEIGHBOURS = _neighbours()
