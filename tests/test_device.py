from pathlib import Path

import pytest

from edgekd.device import load
from edgekd.errors import BadInputError

GOOD = """\
title = "A board"
arch = "arm64"
runtimes = ["onnxruntime", "tflite"]

[facts.ram]
value = "4 GB"
source = "the box"

[facts.clusters]
value = [{ core = "Cortex-A76", count = 4, clock = "2.4 GHz" }]
source = "the box"

[facts.isa]
value = ["dotprod"]
source = "the box"

[budget]
latency_p95 = "< 100 ms"
quality = ">= 94 % of teacher"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "board.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_facts_are_si_and_limits_remember_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    board = load(str(path))
    assert (board.name, board.threads, board.is_host) == ("board", 1, False)
    assert board.facts.ram is not None
    assert board.facts.ram.value == 4e9
    assert board.facts.clusters is not None
    assert board.facts.clusters.value[0].clock == 2.4e9
    assert board.has("dotprod")
    assert not board.has("sve2")
    assert [limit.origin for limit in board.limits] == [f"{path}:18", f"{path}:19"]


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("title =", "titel =", 1, "found the unknown key 'titel'", "did you mean 'title'?"),
        ("[facts.ram]", "[facts.rom]", 5, "found the unknown key 'facts.rom'", "did you mean 'ram'"),
        ('value = "4 GB"', 'valu = "4 GB"', 6, "found the unknown key 'facts.ram.valu'", "did you mean 'value'?"),
        ('"4 GB"', '"4"', 6, "facts.ram.value: found '4': found no unit in '4', expected a number with one", ""),
        ('"4 GB"', "4", 6, "facts.ram.value: found 4: expected text with a unit", ""),
        ('"4 GB"', '"4000 GB"', 6, "facts.ram.value: found '4000 GB': Input should be less than", ""),
        ("count = 4", "count = 0", 10, "facts.clusters.value.0.count: found 0: Input should be greater", ""),
        ('"2.4 GHz"', '"24 GHz"', 10, "facts.clusters.value.0.clock: found '24 GHz': Input should be less", ""),
        ('source = "the box"', "", 5, "found no 'facts.ram.source', which is required", ""),
        (
            'source = "the box"',
            'source = " "',
            7,
            "facts.ram.source: found ' ': expected where this fact comes from",
            "",
        ),
        (
            '["onnxruntime", "tflite"]',
            '["onnxruntime", "coreml"]',
            3,
            "runtimes.1: found 'coreml': Input should be",
            "",
        ),
        ('["onnxruntime", "tflite"]', "[]", 3, "runtimes: found []: expected at least one of onnxruntime, tflite", ""),
        ('"arm64"', '"mips"', 2, "arch: found 'mips': Input should be 'arm64', 'x86_64', 'wasm' or 'this'", ""),
        ('"< 100 ms"', '"< 100"', 18, "latency_p95: found no unit in '100'", "'100 ms'"),
        ("latency_p95", "latency_p59", 18, "found the metric 'latency_p59'", "'latency_p95'"),
        ('"< 100 ms"', "100", 18, "budget.latency_p95: found 100: Input should be a valid string", ""),
    ],
)
def test_a_bad_device_is_refused_with_file_and_line(
    old: str, new: str, line: int, message: str, hint: str, tmp_path: Path
) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(BadInputError) as caught:
        load(str(path))
    assert caught.value.message.startswith(f"{path}:{line}: {message}")
    assert hint in caught.value.hint


def test_a_device_like_another_has_its_own_keys_and_the_others(tmp_path: Path) -> None:
    base = write(tmp_path, GOOD)
    mine = tmp_path / "mine.toml"
    mine.write_text(f'like = "{base}"\nthreads = 2\n[reach]\ntarget = "ssh"\nhost = "a"\n')
    one = load(str(mine))
    assert (one.name, one.title, one.threads, one.path) == ("mine", "A board", 2, mine)
    assert one.reach is not None
    assert [limit.origin for limit in one.limits] == [f"{base}:18", f"{base}:19"]
    mine.write_text(f'like = "{base}"\n[budget]\nquality = ">= 90 % of teacher"\n')
    assert [limit.origin for limit in load(str(mine)).limits] == [f"{mine}:3"]
    mine.write_text('like = "nothing such"\n')
    with pytest.raises(BadInputError, match="found no device 'nothing such'"):
        load(str(mine))


def test_a_single_fact_of_ones_own_counts_beside_the_others(tmp_path: Path) -> None:
    base = write(tmp_path, GOOD)
    (tmp_path / "mine.toml").write_text(f'extends = "{base}"\n[facts.ram]\nvalue = "8 GB"\nsource = "my box"\n')
    (tmp_path / "yours.toml").write_text(f'like = "{tmp_path}/mine.toml"\ntitle = "Yours"\n')
    one = load(str(tmp_path / "yours.toml"))
    assert (one.name, one.title) == ("yours", "Yours")
    assert one.facts.ram is not None
    assert one.facts.clusters is not None
    assert (one.facts.ram.value, one.facts.ram.source) == (8e9, "my box")
    assert one.facts.clusters.source == "the box"
    assert [limit.origin for limit in one.limits] == [f"{base}:18", f"{base}:19"]


def test_an_error_in_the_other_file_names_that_file_and_line(tmp_path: Path) -> None:
    base = write(tmp_path, GOOD.replace("count = 4", "count = 0"))
    (tmp_path / "mine.toml").write_text(f'like = "{base}"\n')
    with pytest.raises(BadInputError, match=rf"^{base}:10: facts\.clusters\.value\.0\.count: found 0"):
        load(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize("key", ["like", "extends"])
def test_devices_that_are_like_each_other_in_a_circle_are_refused_with_all_names(key: str, tmp_path: Path) -> None:
    names = [tmp_path / f"{name}.toml" for name in "abc"]
    for path, other in zip(names, [*names[1:], names[1]], strict=True):
        path.write_text(f'{key} = "{other}"\n')
    a, b, c = names
    with pytest.raises(BadInputError, match=rf"^{c}: found a circle: {b} is like {c} is like {b}$"):
        load(str(a))
    a.write_text(f'{key} = "{a}"\n')
    with pytest.raises(BadInputError, match=rf"^{a}: found a circle: {a} is like {a}$"):
        load(str(a))


@pytest.mark.parametrize(
    ("text", "said"), [("like = 3", "found like = 3"), ('like = "a"\nextends = "b"', "found both like and extends")]
)
def test_what_names_no_single_device_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadInputError, match=rf"^{path}:1: {said}, expected the name or file of one device"):
        load(str(path))


def test_facts_that_are_no_table_are_refused(tmp_path: Path) -> None:
    base = write(tmp_path, GOOD)
    (tmp_path / "mine.toml").write_text(f'facts = "many"\nlike = "{base}"\n')
    with pytest.raises(BadInputError, match=r"mine\.toml:1: facts: found 'many'"):
        load(str(tmp_path / "mine.toml"))
