"""A model whose classes lie in a Python file beside its weights: run if the pipeline trusts it, and never else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tinybert
import torch
from safetensors.torch import save_file

from edgekd.artifact import Artifact, Kind
from edgekd.data.text_sources import TextDataConfig
from edgekd.errors import BadInputError
from edgekd.models import loading
from edgekd.models.encoder_source import from_folder
from edgekd.stages import encoder, tokenizer
from edgekd.stages.base import Context
from edgekd.store import Product
from edgekd.tasks import TaskData

CODE = """
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

open(RAN, "a").close()


class WavesConfig(PretrainedConfig):
    model_type = "waves"

    def __init__(self, vocab_size=9, hidden_size=8, max_position_embeddings=40, **more):
        super().__init__(**more)
        self.vocab_size, self.hidden_size = vocab_size, hidden_size
        self.max_position_embeddings = max_position_embeddings


class Waves(PreTrainedModel):
    config_class = WavesConfig

    def __init__(self, config):
        super().__init__(config)
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_ids, attention_mask=None, **_):
        return BaseModelOutput(last_hidden_state=torch.sin(self.words(input_ids)))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with code that leaves a file where it runs."""
    made, words = tmp_path / "waves", tinybert.word_piece()
    made.mkdir()
    (made / "waves.py").write_text(CODE.replace("RAN", repr(str(tmp_path / "it ran"))))
    own = {"AutoConfig": "waves.WavesConfig", "AutoModel": "waves.Waves"}
    sizes = {"vocab_size": words.get_vocab_size(), "hidden_size": 8, "max_position_embeddings": 40}
    tinybert.write(made / "config.json", {"model_type": "waves", "auto_map": own, **sizes})
    tinybert.write(made / "tokenizer_config.json", {"pad_token": "[PAD]", "model_max_length": 32})
    words.save(str(made / "tokenizer.json"))
    chance = torch.Generator().manual_seed(0)
    weights = {"words.weight": torch.randn(sizes["vocab_size"], 8, generator=chance)}
    save_file(weights, made / "model.safetensors", {"format": "pt"})
    # transformers copies the code there before it imports it
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", [*sys.path])
    return made


def kept(product: Product, kind: Kind) -> Artifact:
    return Artifact(key="k", kind=kind, path=product.path, sha256="", size_bytes=1, made_by="", inputs=())


def test_a_model_with_code_of_its_own_runs_where_it_is_trusted(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="runs Python code that comes with the model"):
        from_folder(folder)
    assert not (tmp_path / "it ran").exists()
    (tmp_path / "train.csv").write_text("text\nthe cat\na dog\nthe mat\n")
    (tmp_path / "test.csv").write_text("query,document\ncat,the cat\n")
    table = TextDataConfig(use="table", train="train.csv", test="test.csv", selection=1).beside(tmp_path)
    context = Context(tmp_path, tmp_path, TaskData("text-embedding", table, tmp_path), 0, 1, lambda *_: None)
    reader = kept(tokenizer.run((), tokenizer.Config(source=str(folder), sha256=""), context), Kind.TOKENIZER)
    config = encoder.Config(source=str(folder), sha256="", trust_remote_code=True)
    module, spec = loading.load(encoder.run((reader,), config, context).path)
    assert (tmp_path / "it ran").is_file()
    assert spec.options["remote"] == str(folder)
    words = loading.read_weights(folder / "model.safetensors", "")["words.weight"]
    ids, mask = torch.tensor([[5, 6, 7], [8, 9, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    means = torch.stack([torch.sin(words[row[:count]]).mean(0) for row, count in zip(ids, (3, 2), strict=True)])
    with torch.no_grad():
        torch.testing.assert_close(module.eval()(ids, mask), means)
