from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinybert
import torch
from torch import Tensor, nn

from edgekd.data.tokens import Encoded, Tokenizer
from edgekd.data.vocabulary import trim
from edgekd.errors import BadInputError
from edgekd.models import loading
from edgekd.models.encoder_pruning import parameters
from edgekd.models.encoder_source import from_folder
from edgekd.models.families import backbone_of, family
from edgekd.models.heads import pca_head
from edgekd.models.loading import ModelSpec
from edgekd.models.smaller import Sizes, chosen_layers, smaller

FAMILIES = ("bert", "distilbert", "roberta", "mpnet")
Source = tuple[Any, ModelSpec, Tokenizer]


def teacher(folder: Path, name: str = "bert", *, labels: int = 0) -> Source:
    """A tiny teacher whose vectors aren't normalized, so that a test sees their lengths."""
    return from_folder(tinybert.save_model(folder / f"{name}{labels}", name, labels=labels), normalize=False)


def outputs(module: nn.Module, encoded: Encoded) -> Tensor:
    batch = encoded.batch(range(len(encoded)))
    with torch.no_grad():
        made: Tensor = module(torch.from_numpy(batch["input_ids"]), torch.from_numpy(batch["attention_mask"]))
    return made


@torch.no_grad()
def double_half(module: nn.Module) -> None:
    """Make channels 16 to 31 copies of 0 to 15 that nothing reads, and let heads 1 and 3 write nothing."""
    prefix, backbone = backbone_of(module)
    known = family(backbone.config.model_type, "here")
    writers = (known.mixed, known.down, *known.norms, "LayerNorm", "embeddings")
    readers = (*known.query_key_value, known.up, "pooler.dense", "classifier", "classifier.dense", "out_proj")
    silent = torch.tensor([row % 16 >= 8 for row in range(32)])
    for name, tensor in module.named_parameters():
        part = name.rsplit(".", 1)[0]
        if "embeddings" in name:
            tensor[..., 16:] = tensor[..., :16]
        elif part.endswith(writers):
            tensor[16:] = tensor[:16]
        if part.endswith((*readers, "pre_classifier")) and tensor.ndim == 2:
            tensor[:, 16:] = 0
        if part.endswith(known.query_key_value[2]):
            tensor[silent] = 0
    assert prefix


@pytest.mark.parametrize("name", FAMILIES)
def test_channels_and_heads_that_do_nothing_are_the_ones_that_go(tmp_path: Path, name: str) -> None:
    module, spec, tokenizer = teacher(tmp_path, name)
    double_half(module)
    student, made = smaller(module, spec, Sizes(hidden=16))
    encoded = tokenizer.encode(tinybert.TEXTS)
    wanted = outputs(module, encoded)
    wanted[:, 16:] = 0  # the head back to the teacher's width
    assert torch.allclose(outputs(student, encoded), wanted, atol=1e-4)
    assert made.options["head"] == 32
    assert backbone_of(student)[1].config.num_attention_heads == 2


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_a_classifier_is_cut_with_its_head(tmp_path: Path, name: str) -> None:
    module, spec, tokenizer = teacher(tmp_path, name, labels=3)
    double_half(module)
    student, _ = smaller(module, spec, Sizes(hidden=16))
    encoded = tokenizer.encode(tinybert.TEXTS)
    assert torch.allclose(outputs(student, encoded), outputs(module, encoded), atol=1e-4)
    with pytest.raises(BadInputError, match="width: found 2 for a classifier"):
        smaller(module, spec, Sizes(width=2))


@pytest.mark.parametrize("labels", [0, 3])
@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_that_are_not_used_share_the_row_of_the_nearest_that_is(tmp_path: Path, name: str, labels: int) -> None:
    module, spec, tokenizer = teacher(tmp_path, name, labels=0 if name == "mpnet" else labels)
    encoded, table = tokenizer.encode(tinybert.TEXTS), backbone_of(module)[1].get_input_embeddings().weight.data
    used = np.union1d(np.unique(encoded.ids), [tokenizer.pad_id])
    gone, seen = np.setdiff1d(np.arange(len(table)), used)[0], int(encoded.ids[1])
    table[gone] = 2 * table[seen]
    student, made = smaller(module, spec, Sizes(used=used))
    assert made.options["rows"] == len(used) < len(table)
    assert parameters(student) == parameters(module), "embeddings count apart, shared ones too"
    assert torch.equal(outputs(student, encoded), outputs(module, encoded))
    kept, _ = loading.load(loading.save(student, made, tmp_path / "student.safetensors"))
    ids = torch.from_numpy(encoded.batch([0])["input_ids"])
    others, mask = torch.where(ids == seen, int(gone), ids), torch.ones_like(ids)
    with torch.no_grad():
        # weights that were read from a file may lie at other addresses, where kernels add up in another order
        torch.testing.assert_close(kept(others, mask), module(ids, mask))
        assert not torch.allclose(module(others, mask), module(ids, mask), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_student_of_some_layers_is_the_teacher_without_the_others(tmp_path: Path, name: str) -> None:
    module, spec, tokenizer = teacher(tmp_path, name)
    student, made = smaller(module, spec, Sizes(layers=2))
    known = family(name, "here")
    assert made.options["config"][known.sizes["layers"]] == 2
    backbone = backbone_of(module)[1]
    layers = backbone.get_submodule(known.layers)
    parent = backbone.get_submodule(known.layers.rsplit(".", 1)[0])
    parent.layer = nn.ModuleList([layers[0], layers[3]])
    encoded = tokenizer.encode(tinybert.TEXTS)
    assert torch.equal(outputs(student, encoded), outputs(module, encoded))


@pytest.mark.parametrize("name", FAMILIES)
def test_neurons_that_write_nothing_are_the_ones_that_go(tmp_path: Path, name: str) -> None:
    module, spec, tokenizer = teacher(tmp_path, name)
    down = family(name, "here").down
    for part, layer in backbone_of(module)[1].named_modules():
        if part.endswith(down) and "attention" not in part:
            with torch.no_grad():
                layer.weight[:, ::2] = 0
    student, _ = smaller(module, spec, Sizes(feed_forward=24))
    encoded = tokenizer.encode(tinybert.TEXTS)
    assert torch.allclose(outputs(student, encoded), outputs(module, encoded), atol=1e-5)
    assert sum(p.numel() for p in student.parameters()) < sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta"])
def test_heads_that_write_nothing_are_the_ones_that_go(tmp_path: Path, name: str) -> None:
    module, spec, tokenizer = teacher(tmp_path, name)
    known = family(name, "here")
    with torch.no_grad():
        for layer in backbone_of(module)[1].get_submodule(known.layers).children():
            layer.get_submodule(known.mixed).weight[:, 8:16] = 0
    student, _ = smaller(module, spec, Sizes(heads=3))
    encoded = tokenizer.encode(tinybert.TEXTS)
    assert torch.allclose(outputs(student, encoded), outputs(module, encoded), atol=1e-5)
    assert sum(p.numel() for p in student.parameters()) < sum(p.numel() for p in module.parameters())


def test_a_trimmed_vocabulary_gives_the_same_vectors(tmp_path: Path) -> None:
    module, spec, tokenizer = teacher(tmp_path)
    trimmed, kept = trim(tokenizer, tinybert.TEXTS)
    student, made = smaller(module, spec, Sizes(vocabulary=kept))
    wanted = outputs(module, tokenizer.encode(tinybert.TEXTS))
    assert torch.equal(outputs(student, trimmed.encode(tinybert.TEXTS)), wanted)
    assert made.options["config"]["vocab_size"] == len(kept) < len(tokenizer.vocabulary)


def test_a_padding_id_that_positions_are_counted_from_must_stay(tmp_path: Path) -> None:
    module, spec, _ = teacher(tmp_path, "roberta")
    with pytest.raises(BadInputError, match="move the padding token from 1"):
        smaller(module, spec, Sizes(vocabulary=np.arange(1, 40)))


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_positions_that_no_text_reaches_can_go(tmp_path: Path, name: str) -> None:
    module, spec, tokenizer = teacher(tmp_path, name)
    short = tokenizer.limited(12)
    student, _ = smaller(module, spec, Sizes(positions=12))
    encoded = short.encode([*tinybert.TEXTS, "cat " * 20])
    assert torch.equal(outputs(student, encoded), outputs(module, encoded))


@pytest.mark.parametrize(
    "sizes",
    [
        {"layers": {"first": 1}},
        {"hidden": 24, "feed_forward": 20, "layers": [1, 3]},
        {"heads": [1, 3], "layers": [0, 3]},
        {"width": 5},
        {"width": 5, "hidden": 16, "positions": 30},
    ],
)
def test_a_student_is_saved_and_loaded_with_equal_outputs(tmp_path: Path, sizes: dict[str, Any]) -> None:
    module, spec, tokenizer = teacher(tmp_path)
    encoded = tokenizer.encode(tinybert.TEXTS)
    before = outputs(module, encoded)
    student, made = smaller(module, spec, Sizes(**sizes), before)
    loaded, found = loading.load(loading.save(student, made, tmp_path / "student.safetensors"))
    assert found == made
    torch.testing.assert_close(outputs(loaded, encoded), outputs(student, encoded))
    assert outputs(student, encoded).shape == (len(tinybert.TEXTS), sizes.get("width", 32))
    assert torch.equal(outputs(module, encoded), before)  # the teacher is as it was


def test_another_width_is_the_main_directions_of_the_teachers_vectors(tmp_path: Path) -> None:
    module, spec, tokenizer = teacher(tmp_path)
    encoded = tokenizer.encode(tinybert.TEXTS)
    vectors = outputs(module, encoded)
    student, made = smaller(module, spec, Sizes(width=5), vectors)
    narrow = outputs(student, encoded)
    assert torch.allclose(narrow @ narrow.T, vectors @ vectors.T, atol=1e-3)  # five vectors span five directions
    again, _ = smaller(student, made, Sizes(width=2), narrow)
    assert torch.allclose(outputs(again, encoded).abs(), narrow[:, :2].abs(), atol=1e-3)  # of a head's, its first
    with pytest.raises(BadInputError, match="width: found 5 without the teacher's vectors"):
        smaller(module, spec, Sizes(width=5))


def test_a_pca_head_keeps_as_much_as_any_head_can() -> None:
    vectors = torch.randn(50, 12, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 13)
    head = pca_head(vectors, 4)
    kept = (vectors @ head.T).square().sum()
    assert torch.allclose(head @ head.T, torch.eye(4), atol=1e-6)
    assert torch.allclose(kept, torch.linalg.svdvals(vectors)[:4].square().sum())
    assert torch.equal(pca_head(vectors, 2), head[:2])
    with pytest.raises(BadInputError, match="width: found 13, expected 1 to 12"):
        pca_head(vectors, 13)


@pytest.mark.parametrize("choice", [0, 7, {"first": 7}, {}, [], [2, 1], [6], [1, 1]])
def test_layers_that_are_not_there_are_refused(choice: Any) -> None:
    with pytest.raises(BadInputError, match="the teacher has 6 layers"):
        chosen_layers(choice, 6)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden": 20}, "hidden: found 20, expected a multiple of 8"),
        ({"hidden": 40}, "hidden: found 40, expected 1 to 32"),
        ({"feed_forward": 49}, "feed_forward: found 49, expected 1 to 48"),
        ({"heads": 5}, "heads: found 5, expected 1 to 4"),
        ({"heads": [2, 2]}, "heads: found 2 numbers, expected 1 or 4: the student has 4 layers"),
        ({"heads": 2, "hidden": 16}, "heads: found hidden as well, expected one of them"),
        ({"positions": 41}, "positions: found 41, expected 1 to 40"),
        ({"vocabulary": np.array([0, 999])}, "vocabulary: found 1000, expected 1 to"),
    ],
)
def test_sizes_that_the_teacher_lacks_are_refused(tmp_path: Path, sizes: dict[str, Any], message: str) -> None:
    module, spec, _ = teacher(tmp_path)
    with pytest.raises(BadInputError, match=message):
        smaller(module, spec, Sizes(**sizes))


def test_a_family_that_is_not_known_by_name_is_refused(tmp_path: Path) -> None:
    folder = tinybert.save_model(tmp_path / "model", "electra", embedding_size=32)
    module, spec, _ = from_folder(folder)
    assert spec.options["mask"] == "2d"
    with pytest.raises(BadInputError, match="found a model of type 'electra', expected one whose layers"):
        smaller(module, spec, Sizes(layers=2))


def test_a_head_on_fewer_channels_reads_those_that_are_left(tmp_path: Path) -> None:
    module, spec, tokenizer = teacher(tmp_path)
    vectors = outputs(module, tokenizer.encode(tinybert.TEXTS))
    student, _ = smaller(module, spec, Sizes(hidden=16, width=5), vectors)
    scales = module.backbone.embeddings.LayerNorm.weight.tolist()
    channels = [scales.index(scale) for scale in student.get_submodule("backbone.embeddings.LayerNorm").weight.tolist()]  # type: ignore[operator,union-attr]
    assert channels != list(range(16))
    assert torch.equal(student.get_submodule("head").weight, pca_head(vectors, 5)[:, channels])  # type: ignore[arg-type]
