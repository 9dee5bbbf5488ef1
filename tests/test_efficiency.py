"""Quality for each joule and millisecond: units, bounds, and the weaker evidence of the two."""

from __future__ import annotations

import pytest

from edgekd import efficiency
from edgekd.profile.measurement import Interval, Measurement, Provenance
from edgekd.report.model import QualityRow
from edgekd.rows import measurement_row

QUALITY = {"onnx_int8": QualityRow(0.9, 0.8, 1.0, 100)}


def measured(metric: str, provenance: Provenance, *values: float, artifact: str = "onnx_int8") -> Measurement:
    unit = "J" if metric == "energy" else "s"
    return Measurement(artifact=artifact, metric=metric, unit=unit, provenance=provenance, values=values)


def only(measurement: Measurement) -> tuple[str, float, float, float, str]:
    (row,) = efficiency.rows(QUALITY, [measurement_row(measurement)])
    return row.metric, row.value, row.lower, row.upper, row.provenance


def test_of_a_measured_latency_the_median_counts() -> None:
    found = only(measured("latency", Provenance.ON_HOST, 0.001, 0.002, 0.009))
    assert found == ("quality_per_millisecond", pytest.approx(0.45), pytest.approx(0.4), pytest.approx(0.5), "on_host")


def test_energy_of_the_device_is_set_against_quality_of_this_host() -> None:
    found = only(measured("energy", Provenance.ON_DEVICE, 0.003))
    assert found == ("quality_per_joule", pytest.approx(300), pytest.approx(800 / 3), pytest.approx(1e3 / 3), "on_host")


def test_a_prediction_brings_its_interval_and_its_provenance() -> None:
    predicted = Measurement(
        artifact="onnx_int8",
        metric="latency",
        unit="s",
        provenance=Provenance.PREDICTED,
        predicted={"p50": Interval(0.003, 0.002, 0.004)},
    )
    assert only(predicted) == (
        *("quality_per_millisecond", pytest.approx(0.3), pytest.approx(0.2), pytest.approx(0.5)),
        "predicted",
    )


def test_without_both_sides_there_is_nothing() -> None:
    unscored = measured("latency", Provenance.ON_HOST, 0.001, artifact="teacher_onnx")
    absent = measured("energy", Provenance.ON_HOST)
    memory = measured("peak_memory", Provenance.ON_HOST, 1e6)
    assert not [*efficiency.rows(QUALITY, [measurement_row(each) for each in (unscored, absent, memory)])]
