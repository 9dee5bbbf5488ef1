"""A number that may change while a student is trained: weights and temperatures of losses."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from edgekd.toml_file import Frozen

TEMPERATURES = (0.001, 1000.0)  # beyond these a division by the temperature loses what it divides, in 32 bits
TAGS = ("number", "schedule")  # what pydantic puts between a field's name and what is wrong below it

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Schedule(Frozen):
    """A value that moves from ``from`` to ``to`` until the share ``until`` of the training is done, and then stays.

    With f = min(progress / until, 1), linear: from + f (to - from); cosine: from + (1 - cos(pi f)) / 2 (to - from),
    which starts and ends slowly.

    >>> cooling = Schedule.model_validate({"from": 4.0, "to": 1.0, "until": 0.5})
    >>> cooling.at(0.0), cooling.at(0.25), cooling.at(0.75)
    (4.0, 2.5, 1.0)
    """

    start: Annotated[Number, Field(alias="from")]
    to: Number
    shape: Literal["linear", "cosine"] = "linear"
    until: Annotated[Number, Field(gt=0, le=1)] = 1.0

    def at(self, progress: float) -> float:
        """Return the value when the share ``progress`` (0 to 1) of the training is done.

        Raises:
            ValueError: ``progress`` is not between 0 and 1.

        """
        if not 0 <= progress <= 1:
            raise ValueError(f"found the progress {progress}, expected a share from 0 to 1")
        share = min(progress / self.until, 1.0)
        if self.shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return (1 - share) * self.start + share * self.to


def at(amount: float | Schedule, progress: float) -> float:
    """Return what ``amount`` is when the share ``progress`` (0 to 1) of the training is done.

    >>> at(0.9, 0.5), at(Schedule.model_validate({"from": 1.0, "to": 0.0, "shape": "cosine"}), 0.25)
    (0.9, 0.853553...)
    """
    return amount.at(progress) if isinstance(amount, Schedule) else amount


def ends(amount: float | Schedule) -> tuple[float, float]:
    """Return the first and the last value, between which all others lie.

    >>> ends(0.9)
    (0.9, 0.9)
    """
    return (amount.start, amount.to) if isinstance(amount, Schedule) else (amount, amount)


def _kind(value: Any) -> str:
    return TAGS[isinstance(value, dict | Schedule)]


def _not_negative(amount: float | Schedule) -> float | Schedule:
    if min(ends(amount)) < 0:
        raise ValueError("expected a number that isn't negative, or a schedule between two of those")
    return amount


def _in_range(amount: float | Schedule) -> float | Schedule:
    low, high = TEMPERATURES
    if not (low <= min(ends(amount)) and max(ends(amount)) <= high):
        raise ValueError(f"expected a number from {low:g} to {high:g}, or a schedule between two of those")
    return amount


# Told apart by hand, so that an error is about the one that was meant and not about both.
Amount = Annotated[
    Annotated[Number, Tag(TAGS[0])] | Annotated[Schedule, Tag(TAGS[1])],
    Discriminator(_kind),
]
Weight = Annotated[Amount, AfterValidator(_not_negative)]
Temperature = Annotated[Amount, AfterValidator(_in_range)]
