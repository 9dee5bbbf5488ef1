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
        ('"arm64"', '"mips"', 2, "arch: found 'mips': Input should be 'arm64', 'x86_64' or 'this'", ""),
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
