"""Artifact: an immutable file in the store, with what made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """What an artifact holds."""

    TORCH = "torch"  # safetensors weights and the factory of their module
    KERAS = "keras"  # a .keras file of the user's
    TABLE = "table"  # a teacher's outputs by row id, made elsewhere
    TOKENIZER = "tokenizer"  # how a text becomes token ids
    OUTPUTS = "outputs"  # a model's outputs on named rows of the data
    CALIBRATION = "calibration"  # the frozen calibration set
    RANGES = "ranges"  # of activations, learned in training, and by what their tensors are known
    ONNX = "onnx"
    TFLITE = "tflite"
    PROFILE = "profile"  # raw measurements
    EMULATED = "emulated"  # how golden vectors did on an emulated processor
    GOLDEN = "golden"  # what an app needs of the model files: themselves with metadata, golden vectors, labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file in the store; ``facts`` are small JSON values that describe it."""

    key: str
    kind: Kind
    path: Path
    sha256: str
    size_bytes: int
    made_by: str
    inputs: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
