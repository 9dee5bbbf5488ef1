"""Peak memory: what a file adds is told from its work, by a fit whose rows are in the repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from adders import write_onnx
from predictable import TINY, graph, operator
from workshop import run_script

from edgekd.runtimes.graph import TensorInfo
from edgekd.targets import memory
from edgekd.targets.latency_model import shipped
from edgekd.targets.predicted import peak_memory_bytes

ROOT = Path(__file__).parents[2]


def test_the_shipped_fit_is_what_the_rows_give() -> None:
    check = [sys.executable, ROOT / "scripts" / "fit_memory.py", "--check"]
    subprocess.run(check, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_the_file_says_how_far_off_families_left_out_were() -> None:
    model = memory.shipped()
    assert sum(each["rows"] for left in model.left_out.values() for each in left["families"].values()) == model.rows
    assert all(1 < each.factor < 2 for each in model.runtimes.values())


def test_kinds_of_weights_are_told_apart() -> None:
    work = memory.work_of(
        graph(operator(1, "conv"), operator(1, "depthwise"), operator(1, "dense"), operator(0, "other", "GATHER"))
    )
    assert (work.conv, work.dense, work.tables, work.unread) == (2000, 1000, 1000, 0)


def test_of_a_mapped_table_the_rows_that_are_looked_up_count() -> None:
    table = replace(operator(0, "other", "GATHER"), weight_bytes=50_000_000)
    tokens = (TensorInfo("ids", (1, 128), "int32"),)
    mapped = memory.work_of(replace(graph(table), inputs=tokens))
    assert (mapped.tables, mapped.unread) == (128 * 65536, 50_000_000 - 128 * 65536)
    copied = memory.work_of(replace(graph(table), inputs=tokens, runtime="onnxruntime"))
    assert (copied.tables, copied.unread) == (50_000_000, 0)


def test_elsewhere_the_interval_is_wider_and_may_hold_the_whole_table() -> None:
    table = replace(operator(0, "other", "GATHER"), weight_bytes=50_000_000)
    with_table = replace(graph(*TINY.operators, table), inputs=(TensorInfo("ids", (1, 8), "int32"),))
    found = peak_memory_bytes(with_table, shipped())
    here = memory.shipped().runtimes["tflite"].added(memory.work_of(with_table))
    base = shipped().memory.tflite.base_bytes
    assert found.point == pytest.approx(base.point + here.point)
    assert found.upper > base.upper + here.upper + 49_000_000
    assert found.lower < base.lower + here.lower


def test_the_benchmark_judges_stored_rows_and_files_that_are_measured_now(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    write_onnx(tmp_path / "files" / "a.onnx", batch=1)
    given = ["--only", "memory", "--artifacts", f"sums={tmp_path / 'files'}"]
    ran = run_script(ROOT / "benchmarks" / "prediction.py", tmp_path, *given)
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"onnxruntime, text encoders +\d+\.\d % +\d+\.\d % +\d+", ran.out)
    assert re.search(r"stored rows: median of 6, coverage of 12 +\d\.\d % +\d+\.\d % +met", ran.out)
    assert re.search(r"onnxruntime, sums +\d+\.\d % +100\.0 % +1\n", ran.out)
    assert re.search(r"measured here: median of 1, coverage of 1 .* met\n", ran.out)
