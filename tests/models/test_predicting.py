from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tiny
import tinynet
import torch

from edgekd.artifact import Artifact, Kind
from edgekd.errors import BadInputError
from edgekd.models import loading
from edgekd.models.predicting import Ensemble, TorchModel, check_outputs, open_model, open_models
from edgekd.models.running import outputs_of
from edgekd.tasks.base import Outputs, Rows, Split, Task
from edgekd.tasks.image_classification import ImageClassification

TASK = ImageClassification(tiny.data(), 30)
ROWS = np.array([5, 0, 17])


class Vectors(ImageClassification):
    """The same images, as if they were embedded."""

    outputs = Outputs.VECTORS


class Fixed:
    """Gives the same outputs whatever it is asked."""

    def __init__(self, outputs: Any) -> None:
        self.made = np.asarray(outputs, np.float32)

    def outputs(self, task: Task, split: Split, rows: Rows, view: int = 0) -> npt.NDArray[Any]:
        del task, split, view
        return self.made[: len(rows)]

    def covers(self, task: Task, split: Split) -> bool:
        del task, split
        return True


def saved(folder: Path, seed: int) -> Artifact:
    torch.manual_seed(seed)
    path = loading.save(tinynet.teacher(), loading.ModelSpec("tinynet:teacher"), folder / f"{seed}.safetensors")
    return Artifact(key="", kind=Kind.TORCH, path=path, sha256="", size_bytes=0, made_by="", inputs=())


def test_logits_are_averaged_by_weight() -> None:
    members = [Fixed([[0.0, 4.0]]), Fixed([[8.0, 0.0]])]
    found = Ensemble(members, [3.0, 1.0]).outputs(TASK, "train", np.zeros(1, np.int64))
    assert found.tolist() == [[2.0, 3.0]]


def test_the_similarity_of_several_teachers_vectors_is_the_weighted_mean_of_theirs() -> None:
    generator = np.random.default_rng(0)
    members = [Fixed(scale * generator.standard_normal((3, width))) for scale, width in ((1, 4), (50, 7))]
    found = Ensemble(members, [1.0, 3.0]).outputs(Vectors(tiny.data(), 30), "train", ROWS)
    assert found.shape == (3, 11)

    def cosines(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(unit @ unit.T)

    expected = 0.25 * cosines(members[0].made) + 0.75 * cosines(members[1].made)
    np.testing.assert_allclose(cosines(found), expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)


def test_a_vector_of_zeros_stays_one() -> None:
    found = Ensemble([Fixed([[0.0, 0.0]]), Fixed([[0.0, 2.0]])], [1.0, 1.0])
    outputs = found.outputs(Vectors(tiny.data(), 30), "train", np.zeros(1, np.int64))
    np.testing.assert_allclose(outputs, [[0.0, 0.0, 0.0, 0.5**0.5]])


def test_several_models_are_opened_as_one(tmp_path: Path) -> None:
    artifacts = [saved(tmp_path, 1), saved(tmp_path, 2)]
    first, second = (open_model(each, 1).outputs(TASK, "train", ROWS) for each in artifacts)
    assert not np.allclose(first, second)
    weighted = open_models(artifacts, (1.0, 3.0), 1).outputs(TASK, "train", ROWS)
    np.testing.assert_allclose(weighted, 0.25 * first + 0.75 * second, atol=1e-6)
    equal = open_models(artifacts, (), 1).outputs(TASK, "train", ROWS)
    np.testing.assert_allclose(equal, 0.5 * first + 0.5 * second, atol=1e-6)
    tokenizer = Artifact(key="", kind=Kind.TOKENIZER, path=tmp_path, sha256="", size_bytes=0, made_by="", inputs=())
    alone = open_models([artifacts[0], tokenizer], (), 1)
    assert isinstance(alone, TorchModel)
    assert np.array_equal(alone.outputs(TASK, "train", ROWS), first)


class ByLength(ImageClassification):
    """Images that have lengths, so that they are run in another order than asked for."""

    def lengths(self, split: Split, rows: Rows) -> npt.NDArray[np.int64]:
        del split
        return np.asarray(10_000 * (rows % 7 + 1), np.int64)  # so long that a batch has one or none


def test_outputs_are_in_the_order_of_the_rows_whatever_the_batches() -> None:
    torch.manual_seed(0)
    module = tinynet.teacher().eval()
    rows = np.random.default_rng(1).permutation(240)[:40]
    plain = outputs_of(module, TASK, "train", rows)
    single = np.concatenate([outputs_of(module, TASK, "train", rows[i : i + 1]) for i in range(40)])
    np.testing.assert_allclose(plain, single, atol=1e-5)
    np.testing.assert_allclose(outputs_of(module, ByLength(tiny.data(), 30), "train", rows), single, atol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([[1.0, 2.0]], r"outputs of shape \(1, 2\) for one image, expected \(1, 3\): data set 'tiny bars'"),
        ([1.0, 2.0, 3.0], r"the judge gives outputs of shape \(1,\) for one image, expected \(1, 3\)"),
    ],
)
def test_outputs_of_another_shape_are_refused(outputs: list[Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        check_outputs(Fixed(outputs), TASK, "judge")


def test_vectors_may_have_any_width_but_only_one_axis_more() -> None:
    task = Vectors(tiny.data(), 30)
    check_outputs(Fixed([[1.0, 2.0]]), task, "judge")
    with pytest.raises(BadInputError, match=r"outputs of shape \(1, 1, 2\) for one image, expected \(1, width\)"):
        check_outputs(Fixed([[[1.0, 2.0]]]), task, "judge")
