"""An embedding table in which several tokens share a row: the same tokens in, fewer rows to keep."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class SharedRows(nn.Embedding):
    """Token ids (…) into vectors (…, D): ``index`` (V,) says which row of ``weight`` (rows, D) a token has."""

    index: Tensor

    def __init__(self, tokens: int, rows: int, width: int) -> None:
        super().__init__(rows, width)
        self.register_buffer("index", torch.zeros(tokens, dtype=torch.int32))

    def forward(self, ids: Tensor) -> Tensor:
        places = self.index.index_select(0, ids.flatten()).reshape(ids.shape)  # in ONNX one Gather
        return functional.embedding(places, self.weight)


def share(backbone: Any, rows: int | None) -> None:
    """Give a transformers model such a table of ``rows`` rows, which still has to be loaded; None leaves its own."""
    if rows is not None:
        own = backbone.get_input_embeddings()
        backbone.set_input_embeddings(SharedRows(own.num_embeddings, rows, own.embedding_dim))
