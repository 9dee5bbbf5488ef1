import numpy as np
import pytest

from edgekd.errors import StageError
from edgekd.runtimes.feeding import Wanted, feed, single_rows

IMAGE = np.arange(24, dtype=np.float32).reshape(1, 3, 4, 2)
IDS = np.array([[5, 6, 7]])
TEXT = {"input_ids": IDS, "attention_mask": np.ones_like(IDS)}


def test_the_only_array_goes_to_the_only_input_whatever_it_is_called() -> None:
    fed = feed([Wanted("serving_default_args_0:0", (1, 3, 4, 2), "float32")], {"image": IMAGE}, "here")
    assert fed["serving_default_args_0:0"] is IMAGE


def test_images_become_channels_last_where_the_file_asks_for_it() -> None:
    fed = feed([Wanted("x", (1, 4, 2, 3), "float32")], {"image": IMAGE}, "here")["x"]
    assert np.array_equal(fed, IMAGE.transpose(0, 2, 3, 1))
    assert fed.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("shape", [(-1, 3, -1, -1), (1, 3, 4, 2)])
def test_images_that_fit_stay_as_they_are(shape: tuple[int, ...]) -> None:
    assert feed([Wanted("x", shape, "float32")], {"image": IMAGE}, "here")["x"] is IMAGE


def test_texts_are_padded_to_a_fixed_length_and_cast() -> None:
    wanted = [Wanted("a", (1, 5), "int32", "attention_mask"), Wanted("b", (1, 5), "int32", "input_ids")]
    fed = feed(wanted, TEXT, "here")
    assert {name: values.tolist() for name, values in fed.items()} == {"a": [[1, 1, 1, 0, 0]], "b": [[5, 6, 7, 0, 0]]}
    assert {values.dtype for values in fed.values()} == {np.dtype("int32")}


def test_texts_of_any_length_are_not_padded() -> None:
    wanted = [Wanted("input_ids", (1, -1), "int64"), Wanted("attention_mask", (1, -1), "float32")]
    fed = feed(wanted, TEXT, "here")
    assert fed["input_ids"].tolist() == [[5, 6, 7]]
    assert (fed["attention_mask"].dtype, fed["attention_mask"].tolist()) == (np.float32, [[1.0, 1.0, 1.0]])


def test_token_types_that_nobody_gives_are_zero() -> None:
    wanted = [Wanted(name, (-1, -1), "int64") for name in ("input_ids", "attention_mask", "token_type_ids")]
    assert feed(wanted, TEXT, "here")["token_type_ids"].tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("wanted", "inputs", "message"),
    [
        ([Wanted("pixels", (1, 3), "float32")], TEXT, "here: found an input 'pixels', expected input_ids, attention"),
        ([Wanted("x", (1, 3, 8, 8), "float32")], {"image": IMAGE}, r"here: found an input of shape \(1, .*, which 'x'"),
        ([Wanted("x", (1, 2), "int64")], {"ids": IDS}, r"here: found an input of shape \(1, 3\), which 'x' \(1, 2\)"),
        ([Wanted("x", (24,), "float32")], {"image": IMAGE}, r"which 'x' \(24,\) can't take"),
    ],
)
def test_what_does_not_fit_is_refused(wanted: list[Wanted], inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(StageError, match=message):
        feed(wanted, inputs, "here")


def test_floats_are_never_cast_to_whole_numbers() -> None:
    values = np.array([[0.5, 1.5]], np.float32)
    assert feed([Wanted("x", (1, 2), "int8")], {"x": values}, "here")["x"] is values


def test_batches_are_taken_apart_and_padding_cut_off() -> None:
    ids = np.array([[5, 6, 7], [8, 0, 0]])
    batches = [{"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}, TEXT]
    assert [row["input_ids"].tolist() for row in single_rows(batches)] == [[[5, 6, 7]], [[8]], [[5, 6, 7]]]
    assert [row["image"].shape for row in single_rows([{"image": np.zeros((2, 3, 4, 4))}])] == [(1, 3, 4, 4)] * 2
