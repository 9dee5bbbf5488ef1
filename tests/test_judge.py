from __future__ import annotations

import re

import numpy as np
import pytest

from edgekd.judge import Check, Evidence, Scores, Verdict, judge, worst
from edgekd.limits import parse_option
from edgekd.profile.measurement import Interval, Measurement, Provenance

FOR_A_PHONE = frozenset({Provenance.ON_DEVICE, Provenance.PREDICTED})
NONE: Scores = np.zeros(0)


def measured(
    values: list[float], metric: str = "latency", provenance: Provenance = Provenance.ON_DEVICE
) -> Measurement:
    return Measurement(artifact="onnx_int8", metric=metric, unit="s", provenance=provenance, values=tuple(values))


def predicted(lower: float, point: float, upper: float, name: str = "p95", metric: str = "latency") -> Measurement:
    return Measurement(
        artifact="onnx_int8",
        metric=metric,
        unit="s",
        provenance=Provenance.PREDICTED,
        predicted={name: Interval(point, lower, upper)},
    )


def check(rule: str, *measurements: Measurement, judged: frozenset[Provenance] = FOR_A_PHONE) -> Check:
    (found,) = judge((parse_option(rule),), Evidence("onnx_int8", measurements, NONE, {}), judged)
    return found


def steady(count: int, center: float = 0.010) -> list[float]:
    """A quiet session: one or two percent of noise."""
    return (center * (1 + 0.01 * np.random.default_rng(1).standard_normal(count))).tolist()


def test_a_percentile_passes_on_its_upper_and_fails_on_its_lower_bound() -> None:
    values = steady(1024)
    ordered = sorted(values)
    found = check("latency_p95<=20ms", measured(values))
    assert (found.verdict, found.advice, found.provenance) == (Verdict.PASS, "", "on_device")
    assert found.point == ordered[972]
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < found.point < found.upper
    assert check("latency_p95<=5ms", measured(values)).verdict is Verdict.FAIL
    between = f"latency_p95<={(found.point + found.upper) / 2 * 1e6:.4f}us"
    assert check(between, measured(values)).verdict is Verdict.INCONCLUSIVE


def test_a_miss_says_by_how_much_and_what_to_try() -> None:
    found = check("latency_p50<=5ms", measured(steady(1024)))
    assert re.fullmatch(r"p50 latency 10\.0 ms, 5\.0\d ms over 5\.00 ms", found.excess)
    assert found.advice.startswith("use a narrower student")
    assert found.margin == pytest.approx(-1.0, abs=0.02)


@pytest.mark.parametrize(("percent", "needed"), [(50, 7), (90, 44), (95, 90), (99, 459)])
def test_too_few_runs_decide_nothing_and_say_how_many_more(percent: int, needed: int) -> None:
    values = [0.010, 0.0101] * 3  # as independent as six runs get
    found = check(f"latency_p{percent}<=20ms", measured(values))
    assert (found.verdict, found.samples, found.samples_needed) == (Verdict.INCONCLUSIVE, 6, needed)
    assert found.upper is None
    assert found.advice == f"needs {needed - 6:,} more independent samples, or a faster model"


def test_enough_runs_in_name_only_decide_nothing() -> None:
    """1,024 runs that wander slowly up are worth a few independent ones."""
    wandering = [0.010 + 0.0001 * (index // 128) for index in range(1024)]
    found = check("latency_p50<=10.75ms", measured(wandering))
    assert found.samples < 7
    assert found.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("shape", ["slowly", "at once"])
def test_a_drift_of_5_percent_decides_no_limit_within_it(shape: str) -> None:
    """Below the drift at which a session is unstable, but its runs follow each other alike, and count as few."""
    undecided = 0
    grown = np.arange(1024) / 1024 if shape == "slowly" else np.arange(1024) >= 512
    for seed in range(40):
        noise = np.exp(0.01 * np.random.default_rng(seed).standard_normal(1024))
        session = measured((0.010 * noise * (1 + 0.05 * grown)).tolist())
        within = [check(f"latency_p50<={limit}ms", session).verdict for limit in (10.1, 10.25, 10.4)]
        undecided += within == [Verdict.INCONCLUSIVE] * 3
        assert check("latency_p95<=10.4ms", session).verdict is not Verdict.PASS
        far = [check(f"latency_{limit}", session) for limit in ("p50<=20ms", "p95<=20ms", "p95<=8ms")]
        assert [found.verdict for found in far] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]
        assert all(found.samples >= found.samples_needed for found in far[:2])
    assert undecided >= 38


def test_an_unstable_session_decides_nothing() -> None:
    drifting = steady(512) + steady(512, 0.0125)
    found = check("latency_p50<=12ms", measured(drifting))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.advice.startswith("unstable: the second half is ")


def test_an_unstable_session_wholly_on_one_side_still_decides() -> None:
    slow = np.random.default_rng(2).random(1024) < 0.5  # two clocks, from run to run
    jumping = np.where(slow, 0.014, 0.010).tolist()
    assert check("latency_p50<=12ms", measured(jumping)).advice.startswith("unstable: the middle half of the runs ")
    assert check("latency_p50<=100ms", measured(jumping)).verdict is Verdict.PASS
    assert check("latency_p50<=1ms", measured(jumping)).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("interval", "verdict", "advice"),
    [
        ((0.001, 0.002, 0.004), Verdict.PASS, ""),
        ((0.001, 0.002, 0.005), Verdict.PASS, ""),
        ((0.006, 0.007, 0.008), Verdict.FAIL, "use a narrower student"),
        ((0.001, 0.002, 0.006), Verdict.INCONCLUSIVE, "the prediction straddles the limit: measure on the device"),
        ((0.004, 0.009, 0.020), Verdict.INCONCLUSIVE, "the prediction straddles the limit: measure on the device"),
    ],
)
def test_a_prediction_is_judged_on_its_unfavourable_end(
    interval: tuple[float, float, float], verdict: Verdict, advice: str
) -> None:
    found = check("latency_p95<=5ms", predicted(*interval))
    assert (found.verdict, found.provenance) == (verdict, "predicted")
    assert (found.lower, found.point, found.upper) == interval
    assert found.advice.startswith(advice)
    assert bool(found.advice) == bool(advice)


def test_a_strict_limit_is_not_met_by_its_own_value() -> None:
    assert check("size<5B", measured([5.0], "size")).verdict is Verdict.FAIL
    assert check("size<=5B", measured([5.0], "size")).verdict is Verdict.PASS


def test_single_values_are_judged_as_they_are() -> None:
    found = check("load_time<=1ms", measured([0.002], "load_time"))
    assert found.excess == "load time 2.00 ms, 1.00 ms over 1.00 ms"
    assert found.advice == "use a narrower student: loading takes as long as the file is large"
    assert (found.lower, found.point, found.upper, found.samples) == (0.002, 0.002, 0.002, 1)


def test_a_missing_metric_is_inconclusive_and_never_a_pass() -> None:
    found = check("energy<1J")
    assert (found.verdict, found.point, found.provenance) == (Verdict.INCONCLUSIVE, None, "none")
    assert found.advice == "no evidence that is on_device or predicted"
    assert found.margin is None


def test_an_absent_sensor_says_why() -> None:
    absent = Measurement(
        artifact="onnx_int8", metric="energy", unit="J", provenance=Provenance.ON_DEVICE, unavailable="no counter"
    )
    found = check("energy<1J", absent)
    assert (found.verdict, found.advice) == (Verdict.INCONCLUSIVE, "no counter")


def test_what_this_host_measured_is_no_evidence_for_a_phone() -> None:
    here = measured(steady(1024), provenance=Provenance.ON_HOST)
    assert check("latency_p95<=20ms", here).verdict is Verdict.INCONCLUSIVE
    assert check("latency_p95<=20ms", here, judged=frozenset({Provenance.ON_HOST})).verdict is Verdict.PASS


def test_a_prediction_is_refused_where_a_measurement_is_required() -> None:
    found = check("latency_p95<=5ms", predicted(0.001, 0.002, 0.003), judged=frozenset({Provenance.ON_DEVICE}))
    assert (found.verdict, found.advice) == (Verdict.INCONCLUSIVE, "no evidence that is on_device")


def test_the_size_of_a_file_is_the_same_everywhere() -> None:
    here = measured([1000.0], "size", Provenance.ON_HOST)
    assert check("size<=2kB", here, judged=frozenset({Provenance.ON_DEVICE})).verdict is Verdict.PASS


def quality(rule: str, student: list[int], teacher: list[int]) -> Check:
    scores = np.array(student, np.float64)
    references = {"teacher": np.array(teacher, np.float64)}
    (found,) = judge((parse_option(rule),), Evidence("onnx_int8", (), scores, references), FOR_A_PHONE)
    return found


def test_a_floor_relative_to_the_teacher_is_judged_on_the_same_items() -> None:
    teacher = [1] * 950 + [0] * 50
    same = quality("quality>=94% of teacher", teacher, teacher)
    assert (same.verdict, same.point, same.samples) == (Verdict.PASS, 1.0, 1000)
    assert same.lower is not None
    assert 0.94 < same.lower < 1.0
    worse = quality("quality>=94% of teacher", [1] * 600 + [0] * 400, teacher)
    assert worse.verdict is Verdict.FAIL
    assert worse.point == pytest.approx(600 / 950)
    assert worse.excess == "quality 63.2 %, 30.8 points short of 94.0 %"
    assert worse.advice.startswith("train for more epochs")
    assert same.excess == ""
    close = quality("quality>=94% of teacher", [1] * 890 + [0] * 110, teacher)
    assert (close.verdict, close.advice) == (Verdict.INCONCLUSIVE, "needs more test images, or a better student")


def test_an_absolute_floor_stays_between_nothing_and_everything() -> None:
    found = quality("quality>=50%", [1] * 60, [0] * 60)
    assert (found.verdict, found.point, found.upper) == (Verdict.PASS, 1.0, 1.0)
    found = quality("quality>=50%", [0] * 60, [0] * 60)
    assert (found.verdict, found.point, found.lower) == (Verdict.FAIL, 0.0, 0.0)


def test_without_its_reference_a_floor_is_inconclusive() -> None:
    found = quality("quality>=94% of student_float", [1] * 60, [1] * 60)
    assert (found.verdict, found.advice) == (Verdict.INCONCLUSIVE, "there is no student_float to compare with")


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        (["latency_p95<=5ms"], Verdict.PASS),
        (["latency_p95<=5ms", "energy<1J"], Verdict.INCONCLUSIVE),
        (["energy<1J", "latency_p95<=1ms", "latency_p95<=5ms"], Verdict.FAIL),
        ([], Verdict.PASS),
    ],
)
def test_a_fail_outweighs_what_is_undecided_which_outweighs_a_pass(rules: list[str], verdict: Verdict) -> None:
    evidence = predicted(0.002, 0.003, 0.004)
    assert worst(check(rule, evidence).verdict for rule in rules) is verdict


@pytest.mark.parametrize(("state", "option"), [("sustained", "--sustained"), ("loaded", "--load N")])
def test_a_strained_latency_is_judged_like_another_and_never_by_the_quiet_one(state: str, option: str) -> None:
    values = steady(1024)
    found = check(f"{state}_latency_p95<=20ms", measured(values), measured(values, f"{state}_latency"))
    assert (found.verdict, found.provenance) == (Verdict.PASS, "on_device")
    missed = check(f"{state}_latency_p95<=5ms", measured(values), measured(values, f"{state}_latency"))
    assert missed.verdict is Verdict.FAIL
    assert missed.advice.startswith("use a smaller model")
    absent = check(f"{state}_latency_p95<=20ms", measured(values))
    assert absent.verdict is Verdict.INCONCLUSIVE
    assert f"build with {option}" in absent.advice
