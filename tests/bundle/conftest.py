"""One bundle of a linear layer, written by hand; and tiny TFLite files of each kind, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import linear
import pytest
import tiny
from modelfiles import LABELS, LENGTH, TOKENIZER, Given, image_facts, labels, text_facts, vocabulary

from edgekd.bundle.manifest import Postprocessing

ENDS = ("float", "uint8", "int8")


@pytest.fixture(scope="session")
def image_files(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> dict[str, Given]:
    """The tiny teacher in INT8 by what its ends are: float, uint8, int8."""
    pytest.importorskip("litert_torch")
    import tinynet
    from safetensors.torch import load_file

    from edgekd.models import quiet
    from edgekd.quantizers import tflite_static
    from edgekd.stages import export_tflite
    from edgekd.tasks.image_classification import prepare

    folder, module = tmp_path_factory.mktemp("images"), tinynet.teacher()
    module.load_state_dict(load_file(weights))
    example = {"image": prepare(tiny.data().train.images[:60])}
    source = folder / "source.tflite"
    with quiet.frameworks(), quiet.native_stderr():
        export_tflite._export(module.eval(), {"image": example["image"][:1]}, source)
        seen = tflite_static.observe(source, example)
        ranges = {name: (held.low, max(0.0, held.maximum)) for name, held in seen.items()}
        for ends in ENDS:
            tflite_static.quantize(source, folder / f"{ends}.tflite", ranges, io=ends)
    return {ends: Given(folder / f"{ends}.tflite", image_facts(), labels()) for ends in ENDS}


@pytest.fixture(scope="session")
def text_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Given]:
    """The tiny encoder in dynamic INT8: as vectors, and with a head of three classes."""
    pytest.importorskip("litert_torch")
    import torch
    from tinytransformer import WIDTH, TinyTransformer
    from torch import nn

    from edgekd.exporters import text_tflite
    from edgekd.models import quiet
    from edgekd.quantizers import tflite_dynamic

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = TinyTransformer()
            self.head = nn.Linear(WIDTH, len(LABELS))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.body(input_ids, attention_mask))
            return logits

    folder = tmp_path_factory.mktemp("texts")
    with quiet.frameworks(), quiet.native_stderr():
        for name, module in (("vectors", TinyTransformer()), ("classes", Classifier())):
            text_tflite.export(module.eval(), folder / f"{name}-float.tflite", LENGTH)
            tflite_dynamic.quantize(folder / f"{name}-float.tflite", folder / f"{name}.tflite", "dynamic")
    vector, logits = Postprocessing(kind="vector", normalised=True), image_facts().postprocessing
    assets = labels() | {"vocab.txt": vocabulary(), "tokenizer.json": TOKENIZER.encode()}
    return {
        "vectors": Given(folder / "vectors.tflite", text_facts(vector), assets),
        "classes": Given(folder / "classes.tflite", text_facts(logits), assets),
    }


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as it should be. Read only."""
    return linear.write_bundle(tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    """A copy."""
    return Path(shutil.copytree(whole, tmp_path / "bundle"))
