import pytest

from edgekd.errors import BadInputError
from edgekd.limits import METRICS, Limit, merge, parse_option, parse_rule


def test_a_rule_of_a_budget_remembers_where_it_stands() -> None:
    assert parse_rule("latency_p95", "< 100 ms", "pixel8.toml:46") == Limit(
        "latency_p95", "<", 0.1, None, "pixel8.toml:46"
    )


@pytest.mark.parametrize("text", ["94 % of teacher", "94% of the teacher"])
def test_quality_may_be_relative_to_another_model(text: str) -> None:
    assert parse_rule("quality", f">= {text}", "b").relative_to == "teacher"


def test_an_option_holds_metric_comparison_and_value() -> None:
    limit = parse_option(" latency_p95<=20ms ")
    assert (limit.metric, limit.operator, limit.value, limit.origin) == ("latency_p95", "<=", 0.02, "--limit")


@pytest.mark.parametrize(
    ("text", "shown", "base", "percent"),
    [
        ("latency_p99<1.5s", "latency_p99 < 1.50 s", "latency", 99.0),
        ("peak_memory<=1GB", "peak_memory <= 1.00 GB", "peak_memory", None),
        ("quality>=94% of student_float", "quality >= 94.0 % of student_float", "quality", None),
        ("energy<40mJ", "energy < 40.0 mJ", "energy", None),
    ],
)
def test_a_limit_is_shown_as_a_person_writes_it(text: str, shown: str, base: str, percent: float | None) -> None:
    limit = parse_option(text)
    assert (limit.text, limit.base, limit.percent) == (shown, base, percent)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("latency_p95", "--limit: found 'latency_p95', expected METRIC, a comparison and a value", "20ms"),
        ("latency_p95=20ms", "--limit: found 'latency_p95=20ms', expected METRIC", "write for example"),
        ("latncy_p95<20ms", "--limit: found the metric 'latncy_p95'", "did you mean 'latency_p95'"),
        ("latency<20ms", "--limit: found the metric 'latency'", "'latency_p95'"),
        ("latency_p95<20", "--limit: latency_p95: found no unit in '20', expected a number", "'100 ms'"),
        ("latency_p95<", "--limit: found '<' for latency_p95, expected a comparison and a value", "'< 100 ms'"),
        ("latency_p95<20 MB", "found the unit 'MB' in '20 MB'", "'100 ms'"),
        ("latency_p95<=", "--limit: latency_p95: found '=', expected a number with one of the units", "'100 ms'"),
        ("latency_p95>=20ms", "found 'latency_p95 >=', expected a ceiling (<= or <)", ""),
        ("quality<=94%", "found 'quality <=', expected a floor (>=)", ""),
        ("quality>=94% of parent", "found 'of parent' for quality, expected quality relative to one of teacher", ""),
        ("size<=2MB of teacher", "found 'of teacher' for size, expected quality relative", ""),
        ("latency_p95<=0ms", "found latency_p95 <= 0.00 ns, expected a value above zero", ""),
        ("quality>=101%", "found quality >= 101.0 %, expected above 0 % and at most 100 %", ""),
    ],
)
def test_what_is_no_limit_is_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_option(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_later_limit_replaces_one_on_the_same_metric_and_others_are_added() -> None:
    base = (parse_option("size<1MB"), parse_option("quality>=94%"))
    merged = merge(base, (parse_option("size<2MB"), parse_option("energy<1J")))
    assert [limit.text for limit in merged] == ["size < 2.00 MB", "quality >= 94.0 %", "energy < 1.00 J"]


def test_every_metric_of_the_report_can_be_limited() -> None:
    bases = {
        parse_option(f"{name}{'>=' if name == 'quality' else '<'}{_one(unit)}").base for name, unit in METRICS.items()
    }
    latencies = {"latency", "sustained_latency", "loaded_latency"}
    assert bases == {*latencies, "load_time", "first_inference", "peak_memory", "energy", "size", "quality"}


def _one(dimension: str) -> str:
    return {"s": "1 s", "B": "1 B", "J": "1 J", "ratio": "100 %"}[dimension]
