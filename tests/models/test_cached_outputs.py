"""A teacher's outputs on disk: what packing keeps and refuses, and that an interrupted run goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgekd.errors import StageError
from edgekd.models.cached_outputs import CachedOutputs, Layout, Shards, each_row, largest_error, unpack

OUTPUTS = (4 * np.random.default_rng(2).standard_normal((7, 6))).astype(np.float32)
FITTED, VIEWS, KEPT = 10, 2, 5
TOTAL = VIEWS * FITTED + KEPT


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    scaled = np.exp(logits.astype(np.float64))
    return scaled / scaled.sum(1, keepdims=True)


def test_float16_takes_half_the_room_and_its_error_is_what_rounding_does() -> None:
    packed = Layout().pack(OUTPUTS)
    assert (packed.dtype, packed.nbytes) == (np.float16, OUTPUTS.nbytes // 2)
    found = unpack(packed, 6)
    assert found.dtype == np.float32
    error = np.abs(found - OUTPUTS)
    assert (error <= np.abs(OUTPUTS) * 2.0**-11 + 1e-7).all()
    assert largest_error(OUTPUTS, packed) == error.max() > 0


def test_float32_is_exact() -> None:
    packed = Layout("float32").pack(OUTPUTS)
    assert np.array_equal(unpack(packed, 6), OUTPUTS)
    assert largest_error(OUTPUTS, packed) == 0.0


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float16", 5e-3)])
def test_top_k_keeps_the_largest_logits_and_their_probabilities(precision: str, tolerance: float) -> None:
    packed = Layout(precision, top_k=2).pack(OUTPUTS)  # type: ignore[arg-type]
    found = unpack(packed, 6)
    largest = np.argsort(OUTPUTS, axis=1)[:, -2:]
    for given, kept in ((OUTPUTS, found), (softmax(OUTPUTS), softmax(found))):
        np.testing.assert_allclose(
            np.take_along_axis(kept, largest, 1), np.take_along_axis(given, largest, 1), atol=tolerance, rtol=tolerance
        )
    rest = np.ones_like(OUTPUTS, bool)
    np.put_along_axis(rest, largest, False, 1)
    shared = found[rest].reshape(7, 4)
    np.testing.assert_allclose(shared, np.repeat(shared[:, :1], 4, 1))
    np.testing.assert_allclose(
        softmax(found)[rest].reshape(7, 4).sum(1), softmax(OUTPUTS)[rest].reshape(7, 4).sum(1), rtol=1e-2
    )
    assert largest_error(OUTPUTS, packed) <= tolerance


@pytest.mark.parametrize("top_k", [6, 9])
def test_a_top_k_that_is_as_wide_as_the_outputs_leaves_nothing_out(top_k: int) -> None:
    assert np.array_equal(Layout(top_k=top_k).pack(OUTPUTS), Layout().pack(OUTPUTS))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("top_k", [None, 2])
def test_outputs_that_are_no_numbers_are_refused_and_counted(bad: float, top_k: int | None) -> None:
    outputs = OUTPUTS.copy()
    outputs[[1, 4], 3] = bad
    with pytest.raises(StageError, match="the teacher gave NaN or infinite outputs for 2 rows"):
        Layout("float32", top_k).pack(outputs)


@pytest.mark.parametrize("top_k", [None, 2])
def test_outputs_too_large_for_float16_are_refused_with_what_to_do(top_k: int | None) -> None:
    outputs = OUTPUTS.copy()
    outputs[2, 2] = 70_000.0
    with pytest.raises(StageError, match="the teacher gave outputs up to 70000, which float16 can't hold") as caught:
        Layout("float16", top_k).pack(outputs)
    assert caught.value.hint == 'set precision = "float32" in [teacher_outputs]'
    assert np.isfinite(unpack(Layout("float32", top_k).pack(outputs), 6)).all()


class Producer:
    """Gives row p of view v the outputs (1000 v + p, 0), or (-p, 1) for the rows kept for choosing; counts."""

    def __init__(self) -> None:
        self.made: list[tuple[int, int]] = []

    def __call__(self, positions: npt.NDArray[np.int64], view: int) -> npt.NDArray[np.float32]:
        self.made += [(view, position) for position in positions.tolist()]
        first = -positions if view == -1 else 1000 * view + positions
        return np.stack([first, np.full(len(positions), view == -1)], 1).astype(np.float32)


def fill(shards: Shards, producer: Producer, stop_after: int | None = None) -> None:
    for number in shards.missing()[:stop_after]:
        outputs = each_row(producer, shards.span(number), FITTED, VIEWS)
        shards.keep(number, outputs, Layout("float32").pack(outputs))


@pytest.mark.parametrize("rows", [1, 4, 7, 10, 25, 100])
def test_shards_of_any_size_give_the_same_file(rows: int, tmp_path: Path) -> None:
    shards, producer = Shards(tmp_path / "shards", TOTAL, rows), Producer()
    fill(shards, producer)
    assert producer.made == [(v, p) for v in range(VIEWS) for p in range(FITTED)] + [(-1, p) for p in range(KEPT)]
    shards.join(tmp_path / "outputs.npy")
    found = CachedOutputs.open(tmp_path / "outputs.npy", {"width": 2, "views": VIEWS, "fitted": FITTED})
    assert found.fit(1, np.array([9, 0])).tolist() == [[1009, 0], [1000, 0]]
    assert found.fit(0, np.arange(FITTED))[:, 0].tolist() == list(range(FITTED))
    assert found.selection().tolist() == [[-p, 1] for p in range(KEPT)]
    assert isinstance(found.packed, np.memmap)
    assert shards.width_and_error() == (2, 0.0)


def test_an_interrupted_run_goes_on_at_the_first_missing_shard(tmp_path: Path) -> None:
    whole, cut = (Shards(tmp_path / name, TOTAL, 4) for name in ("whole", "cut"))
    fill(whole, Producer())
    fill(cut, Producer(), stop_after=3)
    (cut.folder / "3.partial.npy").write_bytes(b"half")  # as a process that was killed leaves it
    assert cut.missing() == [3, 4, 5, 6]
    resumed = Producer()
    fill(cut, resumed)
    assert len(resumed.made) == TOTAL - 12
    assert resumed.made[0] == (1, 2)
    for shards in (whole, cut):
        shards.join(shards.folder / "joined.npy")
    assert (whole.folder / "joined.npy").read_bytes() == (cut.folder / "joined.npy").read_bytes()


def test_a_shard_is_not_there_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = Shards(tmp_path, 4, 4)

    def full(path: Path, _values: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        fill(shards, Producer())
    assert shards.missing() == [0]


def test_the_largest_error_is_that_of_all_shards(tmp_path: Path) -> None:
    shards, outputs = Shards(tmp_path, 7, 3), OUTPUTS.copy()
    for number in shards.missing():
        some = outputs[shards.span(number).start : shards.span(number).stop]
        shards.keep(number, some, Layout().pack(some))
    width, error = shards.width_and_error()
    assert width == 6
    assert error == pytest.approx(largest_error(outputs, Layout().pack(outputs)))
