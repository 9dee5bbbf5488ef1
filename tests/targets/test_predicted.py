"""Predictions are intervals that say what they rest on, and that published figures do not contradict."""

from __future__ import annotations

from dataclasses import replace

import pytest
from predictable import MOBILENET, TINY, device, graph, latency, of, operator

from edgekd.algorithms.intervals import ONE, Bounds
from edgekd.device import Device, Facts
from edgekd.errors import BadInputError
from edgekd.profile.measurement import Provenance
from edgekd.targets.latency_model import shipped
from edgekd.targets.predicted import _percentiles, power_w, predict

PREDICTED = ("galaxy-s24", "pixel6", "pixel8", "raspberrypi4", "raspberrypi5")


@pytest.mark.parametrize("name", PREDICTED)
def test_every_device_gets_latency_memory_and_energy(name: str) -> None:
    measurements = predict(TINY, device(name), "int8.tflite", 80_000)
    assert [(each.metric, each.unit) for each in measurements] == [
        ("latency", "s"),
        ("peak_memory", "B"),
        ("energy", "J"),
    ]
    for each in measurements:
        assert each.provenance is Provenance.PREDICTED
        assert each.artifact == "int8.tflite"
        assert not each.values
        assert all(0 < one.lower < one.point < one.upper for one in each.predicted.values())


@pytest.mark.parametrize("name", PREDICTED)
def test_percentiles_ascend_on_every_side(name: str) -> None:
    found = of("latency", predict(TINY, device(name), "int8.tflite", 80_000)).predicted
    assert list(found) == ["p50", "p90", "p95", "p99"]
    for side in ("lower", "point", "upper"):
        sides = [getattr(one, side) for one in found.values()]
        assert sides == sorted(sides)


def test_a_higher_percentile_is_raised_to_the_one_below_it() -> None:
    ratios = {"p90": Bounds(2.0, 1.1, 3.0), "p95": ONE, "p99": Bounds(4.0, 1.5, 9.0)}
    found = _percentiles(Bounds(1.0, 0.5, 2.0), ratios)
    assert found["p95"] == found["p90"]
    assert found["p90"].lower > found["p50"].lower


def with_clusters(name: str, count: int) -> Device:
    base = device(name)
    assert base.facts.clusters is not None
    clusters = base.facts.clusters.model_copy(update={"value": base.facts.clusters.value[:count]})
    return base.model_copy(update={"facts": base.facts.model_copy(update={"clusters": clusters})})


def test_the_interval_holds_the_second_cluster_too() -> None:
    alone, both = (
        of("latency", predict(TINY, with_clusters("pixel8", count), "a", 1)).predicted["p50"] for count in (1, 2)
    )
    assert both.point == alone.point
    assert both.upper > alone.upper


def test_tails_are_longer_where_a_thread_can_move() -> None:
    alone, both = (of("latency", predict(TINY, with_clusters("pixel8", count), "a", 1)).predicted for count in (1, 2))
    assert both["p95"].upper / both["p50"].upper > 1.2 * alone["p95"].upper / alone["p50"].upper


def test_networks_smaller_than_the_published_ones_are_less_certain() -> None:
    edge = int(shipped().precisions["int8"].smallest_macs)
    below, above = (latency(graph(operator(macs)), "raspberrypi4") for macs in (edge - 1, edge + 1))
    assert below.upper > 1.01 * above.upper
    assert below.lower < 0.99 * above.lower


@pytest.mark.parametrize(
    ("name", "published_s"),
    [("raspberrypi4", 84.82e-3 * 1.8 / 1.5), ("raspberrypi5", 14.44e-3), ("pixel8", 8.88e-3), ("galaxy-s24", 4.37e-3)],
)
def test_published_rows_of_the_same_core_lie_inside(name: str, published_s: float) -> None:
    found = latency(MOBILENET, name)
    assert found.lower < published_s < found.upper
    assert found.point == pytest.approx(published_s, rel=1.0)


def test_a_tiny_network_is_less_certain_than_a_published_one() -> None:
    tiny, large = latency(TINY, "raspberrypi4"), latency(MOBILENET, "raspberrypi4")
    assert tiny.upper / tiny.lower > large.upper / large.lower


def test_operators_without_work_still_cost() -> None:
    more = graph(*TINY.operators, *(operator(0, "other", "ADD"),) * 20)
    assert latency(more, "pixel8").upper > latency(TINY, "pixel8").upper


def test_float_is_slower_where_int8_has_instructions() -> None:
    as_float = graph(*(replace(each, int8=False) for each in MOBILENET.operators))
    assert latency(as_float, "raspberrypi5").point > 1.3 * latency(MOBILENET, "raspberrypi5").point


def test_a_kind_that_was_never_seen_widens_and_is_named() -> None:
    strange = graph(*TINY.operators[1:], operator(200_000, "conv", "CUSTOM:mystery"))
    found = of("latency", predict(strange, device("pixel8"), "a", 1))
    assert found.conditions["operators_never_seen"] == "CUSTOM:mystery"
    seen = latency(TINY, "pixel8")
    assert found.predicted["p50"].upper > seen.upper
    assert found.predicted["p50"].lower < seen.lower


def test_conditions_say_what_a_prediction_rests_on() -> None:
    found = of("latency", predict(TINY, device("pixel8"), "a", 1)).conditions
    assert found["core"] == "Cortex-X3 at 2.91 GHz"
    assert found["isa_class"] == "out-of-order i8mm"
    assert found["nearest_reference"] == "Qualcomm SM8550-AB Snapdragon 8 Gen 2"
    assert (found["threads"], found["runtime"], found["precision"]) == ("1", "tflite", "int8")
    assert "no published one-thread int8 row is of a Google Pixel 8" in found["basis"]
    assert "smaller than any that was published" in found["basis"]
    assert all(isinstance(value, str) for value in found.values())


def test_memory_grows_with_weights_and_has_the_runtime_in_it() -> None:
    small = of("peak_memory", predict(TINY, device("pixel8"), "a", 1)).predicted["value"]
    heavy = graph(*TINY.operators, replace(operator(0), weight_bytes=10_000_000))
    large = of("peak_memory", predict(heavy, device("pixel8"), "a", 1)).predicted["value"]
    assert large.point > small.point + 15_000_000  # LiteRT maps them, and packs them once more
    assert small.lower + 5_000_000 < large.lower < large.point < large.upper
    assert small.lower < 30e6 < small.upper


def test_energy_is_power_times_latency() -> None:
    measurements = predict(TINY, device("raspberrypi4"), "a", 1)
    mean = shipped().percentile_ratios["board"]["mean"].point
    median = of("latency", measurements).predicted["p50"].point
    energy = of("energy", measurements).predicted["value"]
    assert energy.point == pytest.approx(median * mean * (3.87 * 7.5) ** 0.5)


def test_a_power_figure_of_another_chip_is_less_certain() -> None:
    own, carried = (device(name).facts.power for name in ("pixel6", "pixel8"))
    assert own is not None
    assert carried is not None
    assert power_w(own, shipped()) == pytest.approx(((0.9 * 5.4) ** 0.5, 0.9 / 1.25, 5.4 * 1.25))
    assert power_w(carried, shipped()) == pytest.approx(((0.9 * 5.4) ** 0.5, 0.9 / 2, 5.4 * 2))
    conditions = of("energy", predict(TINY, device("pixel8"), "a", 1)).conditions
    assert "carried over from Google Tensor G1" in conditions["power_basis"]


def test_without_a_power_figure_energy_is_unavailable() -> None:
    base = device("pixel8")
    facts = Facts.model_construct(**{**dict(base.facts), "power": None})
    found = of("energy", predict(TINY, base.model_copy(update={"facts": facts}), "a", 1))
    assert not found.predicted
    assert found.unavailable == "no published power figure of Google Pixel 8 or of a near chip"


def test_this_machine_is_never_predicted() -> None:
    with pytest.raises(BadInputError, match=r"host\.toml: found this machine") as caught:
        predict(TINY, device("host"), "a", 1)
    assert "measure" in caught.value.hint


def test_unknown_cores_are_refused() -> None:
    unknown = device("pixel8").model_copy(update={"facts": Facts()})
    with pytest.raises(BadInputError, match=r"pixel8\.toml: found no \[facts\.clusters\]"):
        predict(TINY, unknown, "a", 1)


def test_a_format_that_the_device_does_not_run_is_refused() -> None:
    only = device("pixel8").model_copy(update={"runtimes": ("onnxruntime",)})
    with pytest.raises(BadInputError, match="expected tflite"):
        predict(TINY, only, "a", 1)


@pytest.mark.parametrize("precision", ["int8", "float"])
def test_left_out_rows_are_held_at_least_as_often_as_promised(precision: str) -> None:
    model = shipped()
    left_out = model.precisions[precision].left_out  # type: ignore[index]
    assert model.confidence == 0.9
    for errors in left_out.values():
        assert errors.coverage >= 0.9
        assert errors.lower_factor < 1 < errors.upper_factor


def test_only_permissive_sources_are_shipped() -> None:
    allowed = ("Apache-2.0", "BSD-3-Clause", "MIT", "CC-BY-4.0")
    assert all(each.licence.startswith(allowed) for each in shipped().sources)
    assert sum(each.rows for each in shipped().sources) == shipped().rows
