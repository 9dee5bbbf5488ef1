from __future__ import annotations

from pathlib import Path

import pytest
import tinybert
import torch
from torch import Tensor, nn

from edgekd.errors import BadInputError
from edgekd.models import loading
from edgekd.models.alignment import Texts, fitted
from edgekd.models.encoder_source import from_folder
from edgekd.models.families import backbone_of, family
from edgekd.models.smaller import Choice, Count, Sizes, smaller

FAMILIES = ("bert", "distilbert", "roberta", "mpnet")


def texts(count: int = 40) -> Texts:
    generator = torch.Generator().manual_seed(3)
    made = []
    for length in (4, 9, 12):
        ids = torch.randint(5, 60, (count, length), generator=generator)
        mask = (torch.arange(length)[None] < torch.randint(2, length + 1, (count, 1), generator=generator)).long()
        made.append(((ids, mask), (ids, mask)))
    return made


def error(student: nn.Module, teacher: nn.Module) -> float:
    with torch.no_grad():
        pairs = [(student(*inputs), teacher(*inputs)) for inputs, _ in texts(20)]
    total: Tensor = sum((ours - theirs).square().sum() for ours, theirs in pairs)  # type: ignore[assignment]
    return float(total)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("layers", "count"), [((0, 3), None), ((1, 3), 24), ((0, 1, 2, 3), 24), (2, 40), (2, (8, 40))])
def test_a_fitted_start_is_nearer_to_the_teacher(tmp_path: Path, name: str, layers: Choice, count: Count) -> None:
    teacher, spec, _ = from_folder(tinybert.save_model(tmp_path / name, name))
    plain, _ = smaller(teacher, spec, Sizes(layers=layers, feed_forward=count))
    student, cut = smaller(teacher, spec, Sizes(layers=layers))
    made, left = fitted((student, cut), teacher, Sizes(layers=layers, feed_forward=count), texts())
    assert error(student, teacher) < 0.8 * error(plain, teacher)
    assert all(0 <= share < 1 for share in left["feed_forward"])
    again = loading.load(loading.save(student, made, tmp_path / "student.safetensors"))[0]
    assert error(again, student) == 0


def test_neurons_that_write_nothing_go_without_a_trace(tmp_path: Path) -> None:
    teacher, spec, _ = from_folder(tinybert.save_model(tmp_path / "bert"))
    backbone, known = backbone_of(teacher)[1], family("bert", "here")
    with torch.no_grad():
        for layer in backbone.get_submodule(known.layers).children():
            layer.get_submodule(known.down).weight[:, ::2] = 0  # type: ignore[index,operator]
    student, cut = smaller(teacher, spec, Sizes())
    _, left = fitted((student, cut), teacher, Sizes(feed_forward=24), texts())
    assert error(student, teacher) < 0.12  # of 60 vectors of length 1
    assert max(left["feed_forward"]) < 1e-3


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("heads", [2, (4, 1, 3)])
def test_fewer_heads_are_fitted_as_well(tmp_path: Path, name: str, heads: Count) -> None:
    teacher, spec, _ = from_folder(tinybert.save_model(tmp_path / name, name))
    sizes = Sizes(layers=(0, 1, 3), heads=heads)
    plain, _ = smaller(teacher, spec, sizes)
    student, cut = smaller(teacher, spec, Sizes(layers=(0, 1, 3)))
    made, left = fitted((student, cut), teacher, sizes, texts())
    assert error(student, teacher) < 0.8 * error(plain, teacher)
    whole = [heads == 4] * 3 if isinstance(heads, int) else [each == 4 for each in heads]
    assert [share == 0 for share in left["heads"]] == whole
    again = loading.load(loading.save(student, made, tmp_path / "student.safetensors"))[0]
    assert error(again, student) == 0


def test_heads_that_write_nothing_go_without_a_trace(tmp_path: Path) -> None:
    teacher, spec, _ = from_folder(tinybert.save_model(tmp_path / "bert"))
    backbone, known = backbone_of(teacher)[1], family("bert", "here")
    with torch.no_grad():
        for layer in backbone.get_submodule(known.layers).children():
            layer.get_submodule(known.mixed).weight[:, 8:24] = 0  # type: ignore[index,operator] # of four heads, two
    student, cut = smaller(teacher, spec, Sizes())
    _, left = fitted((student, cut), teacher, Sizes(heads=2), texts())
    assert error(student, teacher) < 0.12
    assert max(left["heads"]) < 1e-3


def test_layers_behind_which_nothing_is_missing_stay_as_they_are(tmp_path: Path) -> None:
    teacher, spec, _ = from_folder(tinybert.save_model(tmp_path / "bert"))
    student, cut = smaller(teacher, spec, Sizes(layers=(0, 1, 3)))
    before = {name: value.clone() for name, value in student.state_dict().items()}
    _, shares = fitted((student, cut), teacher, Sizes(layers=(0, 1, 3)), texts())
    left = shares["feed_forward"]
    changed = {name for name, value in student.state_dict().items() if not torch.equal(value, before[name])}
    assert left[0] == 0 < left[1]
    assert {name.split(".layer.")[1].split(".")[0] for name in changed} == {"1", "2"}


def test_more_neurons_than_the_teacher_has_are_refused(tmp_path: Path) -> None:
    teacher, spec, _ = from_folder(tinybert.save_model(tmp_path / "bert"))
    student = smaller(teacher, spec, Sizes(layers=2))
    with pytest.raises(BadInputError, match="feed_forward: found 64, expected 1 to 48"):
        fitted(student, teacher, Sizes(layers=2, feed_forward=64), texts())
    with pytest.raises(BadInputError, match="feed_forward: found 3 numbers, expected 1 or 2: the student has 2 layers"):
        fitted(student, teacher, Sizes(layers=2, feed_forward=(8, 8, 8)), texts())


def test_heads_that_share_a_bias_are_refused(tmp_path: Path) -> None:
    teacher, spec, _ = from_folder(tinybert.save_model(tmp_path / "mpnet", "mpnet"))
    student = smaller(teacher, spec, Sizes())
    with pytest.raises(BadInputError, match="share one bias for each head"):
        fitted(student, teacher, Sizes(heads=2), texts())
    with pytest.raises(BadInputError, match="share one bias for each head"):
        smaller(teacher, spec, Sizes(heads=2))
