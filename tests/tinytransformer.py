"""A tiny text encoder in plain torch, with outliers where BERT has them, and its export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY, POSITIONS, WIDTH, HEADS, WIDER, LAYERS = 100, 64, 32, 4, 192, 2
Feed = dict[str, np.ndarray]


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.mixed = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, WIDER), nn.Linear(WIDER, WIDTH)
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        batch, length, _ = states.shape
        shape = (batch, length, HEADS, WIDTH // HEADS)
        query, key, value = (part(states).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value))
        weights = torch.softmax(query @ key.transpose(2, 3) * (WIDTH // HEADS) ** -0.5 + bias, dim=-1)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, length, WIDTH)
        states = self.first(self.mixed(mixed) + states)
        return self.second(self.down(functional.gelu(self.up(states))) + states)


class TinyTransformer(nn.Module):
    """Token ids into a vector; ``near`` adds a bias by distance to attention, as MPNet does."""

    def __init__(self, *, near: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.near = near
        self.words, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        with torch.no_grad():
            for layer in self.layers:
                layer.first.weight[3], layer.second.weight[3] = 16.0, 0.25
                layer.up.weight[:, 3] /= 16.0
                layer.up.bias[5], layer.up.bias[7] = 30.0, 12.0
                layer.down.weight[:, 5] /= 16.0
                layer.down.weight[:, 7] /= 8.0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask.to(torch.float32)
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        bias = (1.0 - mask)[:, None, None, :] * -100.0
        if self.near:
            bias = bias - (places[None, :] - places[:, None]).abs().to(torch.float32)[None, None]
        states = self.words(input_ids) + self.positions(places)[None]
        for layer in self.layers:
            states = layer(states, bias)
        pooled = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        return functional.normalize(pooled, dim=-1)


def write_onnx(path: Path, *, near: bool = False) -> Path:
    from edgekd.exporters import text_onnx
    from edgekd.models import quiet

    with quiet.frameworks():
        text_onnx.export(TinyTransformer(near=near).eval(), path, "embedding")
    return path


def text(length: int, seed: int = 0, padding: int = 0) -> Feed:
    ids = np.random.default_rng(seed).integers(1, VOCABULARY, (1, length))
    return {
        "input_ids": np.pad(ids, ((0, 0), (0, padding))).astype(np.int64),
        "attention_mask": np.pad(np.ones((1, length), np.int64), ((0, 0), (0, padding))),
    }


def texts(count: int = 24, length: int = 20) -> Feed:
    """Rows of 5 to ``length`` tokens, padded."""
    rows = [text(5 + row % (length - 4), row + 100, length - 5 - row % (length - 4)) for row in range(count)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def products(length: int) -> int:
    """Multiply-accumulates with weights, counted by hand."""
    return LAYERS * length * (4 * WIDTH * WIDTH + 2 * WIDTH * WIDER)


def attention(length: int) -> int:
    """Multiply-accumulates of queries with keys, and of their weights with values."""
    return LAYERS * 2 * length * length * WIDTH
