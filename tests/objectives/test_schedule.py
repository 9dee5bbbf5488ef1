import math

import pytest
from pydantic import BaseModel, ValidationError

from edgekd.objectives.schedule import Schedule, Temperature, Weight, at, ends


class Holder(BaseModel):
    weight: Weight = 1.0
    temperature: Temperature = 1.0


def schedule(**options: object) -> Schedule:
    return Schedule.model_validate({"from": 2.0, "to": 1.0} | options)


@pytest.mark.parametrize(("progress", "value"), [(0.0, 2.0), (0.2, 1.5), (0.4, 1.0), (0.7, 1.0), (1.0, 1.0)])
def test_a_line_ends_where_it_is_said_to(progress: float, value: float) -> None:
    assert schedule(until=0.4).at(progress) == pytest.approx(value)


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_cosine_is_the_formula(progress: float) -> None:
    assert schedule(shape="cosine").at(progress) == pytest.approx(1.5 + math.cos(math.pi * progress) / 2)


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_the_ends_are_exact(shape: str) -> None:
    found = Schedule.model_validate({"from": 0.1, "to": 0.0, "shape": shape})
    assert (found.at(0.0), found.at(1.0)) == (0.1, 0.0)


@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan])
def test_a_progress_beyond_the_training_is_refused(progress: float) -> None:
    with pytest.raises(ValueError, match="expected a share from 0 to 1"):
        schedule().at(progress)


def test_a_number_stays_what_it_is() -> None:
    assert [at(0.3, progress) for progress in (0.0, 0.5, 1.0)] == [0.3] * 3
    assert ends(schedule()) == (2.0, 1.0)


@pytest.mark.parametrize(
    "options",
    [
        {"weight": -0.1},
        {"weight": {"from": 1.0, "to": -1.0}},
        {"weight": math.inf},
        {"weight": "0.5"},
        {"weight": True},
        {"temperature": 0},
        {"temperature": {"from": 0.0, "to": 1.0}},
        {"temperature": 2000},
        {"weight": {"from": 1.0}},
        {"weight": {"start": 1.0, "to": 0.0}},
        {"weight": {"from": 1.0, "to": 0.0, "until": 0}},
        {"weight": {"from": 1.0, "to": 0.0, "until": 1.5}},
        {"weight": {"from": 1.0, "to": 0.0, "shape": "step"}},
    ],
)
def test_values_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate(options)
    assert caught.value.error_count() <= 2  # of the kind that was meant: a number or a schedule, not both


def test_whole_numbers_and_zero_weights_are_fine() -> None:
    held = Holder.model_validate({"weight": 0, "temperature": {"from": 4, "to": 1}})
    assert held.weight == 0
    assert at(held.temperature, 0.5) == 2.5
