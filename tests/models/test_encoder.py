from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tinybert
import torch
from torch import Tensor, nn

from edgekd.algorithms.losses.recorder import Recorder
from edgekd.errors import BadInputError
from edgekd.models import encoder_source, loading
from edgekd.models.encoder import Encoder, encoder, output_width, transformers
from edgekd.models.encoder_source import from_folder
from edgekd.models.families import attention_of, layer_names, query_key_value_of
from edgekd.models.loading import ModelSpec
from edgekd.models.pooling import POOLINGS, pool

FAMILIES = ("bert", "distilbert", "roberta", "mpnet")


def batch(length: int = 7) -> tuple[Tensor, Tensor]:
    """Two texts, one of them padded."""
    ids = torch.randint(5, 60, (2, length), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 3:] = 0
    return ids, mask


def outputs(module: nn.Module, given: tuple[Tensor, Tensor]) -> Tensor:
    with torch.no_grad():
        made: Tensor = module(*given)
    return made


def test_an_encoder_gives_the_mean_of_its_states_through_its_dense_layer_and_normalised(tmp_path: Path) -> None:
    folder = tinybert.save_sentence_model(tmp_path / "model", dense=20)
    module, _, tokenizer = from_folder(folder)
    found = tokenizer.encode(tinybert.TEXTS).batch(range(len(tinybert.TEXTS)))
    ids, mask = (torch.from_numpy(found[name]) for name in ("input_ids", "attention_mask"))
    with transformers() as library, torch.no_grad():
        plain = library.AutoModel.from_pretrained(folder).eval()
        states = plain(input_ids=ids, attention_mask=mask).last_hidden_state
    weights = loading.read_weights(folder / "2_Dense" / "model.safetensors", "")
    means = torch.stack([row[: int(n)].mean(0) for row, n in zip(states, mask.sum(1), strict=True)])
    vectors = torch.tanh(means @ weights["linear.weight"].T + weights["linear.bias"])
    wanted = vectors / vectors.norm(dim=1, keepdim=True)
    assert torch.allclose(outputs(module, (ids, mask)), wanted, atol=1e-5)
    assert output_width(module) == 20


@pytest.mark.parametrize("family", FAMILIES)
def test_the_4d_mask_gives_what_the_plain_model_gives(tmp_path: Path, family: str) -> None:
    folder = tinybert.save_model(tmp_path / "model", family, pad_token_id=1)
    module, spec, _ = from_folder(folder, normalize=False)
    assert isinstance(module, Encoder)
    assert spec.options["mask"] == module.mask == "4d"
    ids, mask = batch()
    whole = outputs(module, (ids, mask))
    alone = outputs(module, (ids[1:, :3], mask[1:, :3]))  # without any padding
    assert torch.allclose(whole[1:], alone, atol=1e-5)
    module.mask = "2d"
    plain = outputs(module, (torch.where(mask == 1, ids, 1), mask))
    assert torch.allclose(whole, plain, atol=1e-4)
    assert whole.std() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_saved_is_loaded_without_the_folder(tmp_path: Path, family: str) -> None:
    folder = tinybert.save_model(tmp_path / "model", family)
    module, spec, _ = from_folder(folder, pooling="max")
    path = loading.save(module, spec, tmp_path / "saved.safetensors")
    folder.rename(tmp_path / "gone")
    loaded, found = loading.load(path)
    assert found == spec
    torch.testing.assert_close(outputs(loaded, batch()), outputs(module, batch()))
    assert not any("pooler" in key for key in loaded.state_dict())


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_a_head_for_classes_comes_with_its_model(tmp_path: Path, family: str) -> None:
    folder = tinybert.save_model(tmp_path / "model", family, labels=3)
    module, spec, _ = from_folder(folder)
    ids, mask = batch()
    ids = torch.where(mask == 1, ids, 1 if family == "roberta" else 0)
    with transformers() as library, torch.no_grad():
        plain = library.AutoModelForSequenceClassification.from_pretrained(folder).eval()
        wanted = plain(input_ids=ids, attention_mask=mask).logits
    assert torch.allclose(outputs(module, (ids, mask)), wanted, atol=1e-4)
    loaded, _ = loading.load(loading.save(module, spec, tmp_path / "saved.safetensors"))
    torch.testing.assert_close(outputs(loaded, (ids, mask)), outputs(module, (ids, mask)))
    assert output_width(module) == 3
    with pytest.raises(BadInputError, match="whose head knows 3 labels, expected 5"):
        from_folder(folder, labels=5)


def test_a_new_head_starts_with_equal_classes(tmp_path: Path) -> None:
    module, spec, _ = from_folder(tinybert.save_model(tmp_path / "model"), labels=5)
    assert torch.equal(outputs(module, batch()), torch.zeros(2, 5))
    nn.init.normal_(module.get_submodule("classifier").weight)  # type: ignore[arg-type]
    loaded, _ = loading.load(loading.save(module, spec, tmp_path / "saved.safetensors"))
    torch.testing.assert_close(outputs(loaded, batch()), outputs(module, batch()))


def test_training_has_no_dropout(tmp_path: Path) -> None:
    module, _, _ = from_folder(tinybert.save_model(tmp_path / "model"))
    assert torch.equal(outputs(module.train(), batch()), outputs(module, batch()))
    assert {part.p for part in module.modules() if isinstance(part, nn.Dropout)} == {0.0}


def test_a_model_that_needs_its_own_mask_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekd.models.encoder.MASKED", -0.5)  # now padding is attended to
    module, spec, _ = from_folder(tinybert.save_model(tmp_path / "model"))
    assert spec.options["mask"] == module.mask == "2d"
    loaded, _ = loading.load(loading.save(module, spec, tmp_path / "saved.safetensors"))
    assert loaded.mask == "2d"


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    folder = tinybert.save_model(tmp_path / "model")
    state = loading.read_weights(folder / "model.safetensors", "")
    del state["encoder.layer.1.output.dense.weight"]
    from safetensors.torch import save_file

    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInputError, match=r"found no weights for encoder.layer.1.output.dense.weight"):
        from_folder(folder)


def test_pooling_of_one_text_is_pooling_of_its_own_states() -> None:
    states, mask = torch.randn(2, 4, 3), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    weights = torch.tensor([[1.0], [2.0]])
    wanted = {
        "mean": states[1, :2].mean(0),
        "mean_sqrt_len_tokens": states[1, :2].sum(0) / 2**0.5,
        "weightedmean": (states[1, :2] * weights).sum(0) / 3,
        "max": states[1, :2].amax(0),
        "cls": states[1, 0],
        "lasttoken": states[1, 1],
    }
    assert set(wanted) == set(POOLINGS)
    for how, vector in wanted.items():
        assert torch.allclose(pool(states, mask, how)[1], vector, atol=1e-6), how


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "median"}, "pooling: found 'median'"),
        ({"mask": "3d"}, "expected mask = '2d'"),
        ({"dense": [{"outputs": 4, "bias": True, "activation": "swish"}]}, "found activation 'swish'"),
        ({"config": {"model_type": "nonesuch"}}, "transformers refused the configuration of a 'nonesuch' model"),
    ],
)
def test_options_that_no_encoder_has_are_refused(options: dict[str, Any], message: str) -> None:
    plain = {"model_type": "bert", "vocab_size": 9, **tinybert.SIZES}
    with pytest.raises(BadInputError, match=message):
        encoder(**{"config": plain, **options})


def test_a_head_narrows_before_normalisation(tmp_path: Path) -> None:
    _, spec, _ = from_folder(tinybert.save_sentence_model(tmp_path / "model"))
    module = loading.build(ModelSpec(encoder_source.FACTORY, {**spec.options, "head": 8}), "here").eval()
    vectors = outputs(module, batch())
    assert vectors.shape == (2, 8)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_can_be_named_for_losses(tmp_path: Path, family: str) -> None:
    module, _, _ = from_folder(tinybert.save_model(tmp_path / "model", family))
    names = layer_names(module)
    assert len(names) == 4
    seen: list[Any] = []
    module.get_submodule(names[-1]).register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    for linear in query_key_value_of(module, 2):
        linear.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    attention_of(module, 2).register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    outputs(module, batch())
    query, key, value, attention, last = seen
    assert query.shape == key.shape == value.shape == (2, 7, 32)
    assert (last if isinstance(last, Tensor) else last[0]).shape == (2, 7, 32)
    assert attention[0].shape == (2, 7, 32)
    with pytest.raises(BadInputError, match="found layer 4, expected 0 to 3"):
        attention_of(module, 4)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_maps_are_those_that_transformers_gives(tmp_path: Path, family: str) -> None:
    folder = tinybert.save_model(tmp_path / "model", family, pad_token_id=1)
    module, _, _ = from_folder(folder)
    called = {part: name for name, part in module.named_modules()}
    names = [called[attention_of(module, layer)] for layer in range(4)]
    ids, mask = batch(20)
    ids = torch.where(mask == 1, ids, 1)
    before = outputs(module, (ids, mask))
    with Recorder(module, maps=names) as recorder:
        after = outputs(module, (ids, mask))
    with transformers() as library, torch.no_grad():
        plain = library.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
        wanted = plain(input_ids=ids, attention_mask=mask, output_attentions=True).attentions
    assert torch.equal(before, after), "to be asked for maps changes nothing"
    for name, maps in zip(names, wanted, strict=True):
        assert maps.std() > 0.01, "the heads look at something"
        for row, tokens in enumerate(mask.sum(1).tolist()):
            found, expected = recorder.maps[name][row], maps[row]
            torch.testing.assert_close(found[:, :tokens], expected[:, :tokens], rtol=0, atol=1e-5)


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(BadInputError, match="without a transformers model in it"):
        layer_names(nn.Linear(2, 2))
