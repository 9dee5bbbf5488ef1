from dataclasses import FrozenInstanceError

import pytest

from edgekd.profile.measurement import Interval, Measurement, Provenance


def measured(*values: float) -> Measurement:
    return Measurement(artifact="a1", metric="latency", unit="s", provenance=Provenance.ON_HOST, values=values)


def test_percentiles_are_derived_from_raw_values_and_leave_warmups_out() -> None:
    latency = Measurement(
        artifact="a1",
        metric="latency",
        unit="s",
        provenance=Provenance.ON_HOST,
        values=(0.004, 0.001, 0.003, 0.002),
        warmups=(9.0, 8.0),
    )
    assert [latency.percentile(percent) for percent in (25, 50, 75, 99)] == [0.001, 0.002, 0.003, 0.004]


def test_a_measurement_without_values_has_no_percentile() -> None:
    absent = Measurement(
        artifact="a1", metric="energy", unit="J", provenance=Provenance.ON_HOST, unavailable="no energy counter"
    )
    with pytest.raises(ValueError, match="found 0 values"):
        absent.percentile(50)


def test_a_predicted_one_holds_intervals_and_no_values() -> None:
    predicted = Measurement(
        artifact="a1",
        metric="latency",
        unit="s",
        provenance=Provenance.PREDICTED,
        predicted={"p50": Interval(0.01, 0.008, 0.015)},
    )
    assert predicted.values == ()
    assert predicted.predicted["p50"].upper == 0.015


def test_measurements_cannot_be_changed_and_do_not_share_conditions() -> None:
    first, second = measured(1.0), measured(1.0)
    assert first == second
    assert first.conditions is not second.conditions
    with pytest.raises(FrozenInstanceError):
        first.metric = "size"  # type: ignore[misc]


def test_provenance_reads_as_in_reports() -> None:
    assert [str(one) for one in Provenance] == ["on_device", "on_host", "emulated", "predicted"]
