"""How wide vectors are, as far as files tell."""

from __future__ import annotations

from pathlib import Path

import encoders
import handmade
import numpy as np
import pytest

from edgekd import pipeline
from edgekd.dimensions import onnx_width, student_width, teacher_width
from edgekd.errors import BadInputError


@pytest.mark.parametrize("batch", ["batch", 1])
def test_an_onnx_file_is_as_wide_as_its_first_output(batch: int | str, tmp_path: Path, weights: Path) -> None:
    assert onnx_width(handmade.write_onnx(tmp_path / "t.onnx", weights, batch)) == 3


@pytest.mark.parametrize("shape", [["batch", "wide"], ["batch", "tokens", 32], [], [32]])
def test_an_onnx_file_whose_rows_have_no_width_tells_none(shape: list[int | str], tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "open", ends[:1], ends[1:])
    save(helper.make_model(graph), tmp_path / "t.onnx")
    assert onnx_width(tmp_path / "t.onnx") is None


@pytest.mark.parametrize("content", [b"", b"no model" * 20])
def test_a_damaged_file_is_left_to_the_step_that_opens_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.onnx").write_bytes(content)
    assert onnx_width(tmp_path / "t.onnx") is None


@pytest.mark.parametrize(
    ("teacher", "student", "widths"),
    [
        ('encoder = "teacher"', "layers = 2", (32, 32)),
        ('encoder = "teacher"', "layers = 2\nhidden = 16", (32, 32)),
        ('encoder = "teacher"', "layers = 2\noutput_width = 8", (8, 32)),
        ('encoder = "wider"', 'encoder = "alike"', (32, 64)),
        ('outputs = "t.parquet"', 'encoder = "alike"', (32, 5)),
        ('keras = "t.keras"', 'model = "tinynet:student"', (None, None)),
        ('model = "tinynet:teacher"\nweights = "t"', 'encoder = "alike"', (32, None)),
    ],
)
def test_widths_are_told_by_the_forms_whose_files_say_them(
    teacher: str, student: str, widths: tuple[int | None, int | None], tmp_path: Path
) -> None:
    text = encoders.PIPELINE.replace('encoder = "teacher"', teacher).replace("layers = 2", student)
    (encoders.furnish(tmp_path) / "mine.toml").write_text(text)
    handmade.write_table(tmp_path / "t.parquet", id=["a", "b"], output=np.zeros((2, 5)))
    loaded = pipeline.load(str(tmp_path / "mine.toml"))
    assert (student_width(loaded), teacher_width(loaded)) == widths


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    text = encoders.PIPELINE.replace('encoder = "teacher"', 'outputs = "t.parquet"')
    (encoders.furnish(tmp_path) / "mine.toml").write_text(text)
    with pytest.raises(BadInputError, match=r"\[teacher\] outputs: found no file"):
        teacher_width(pipeline.load(str(tmp_path / "mine.toml")))
