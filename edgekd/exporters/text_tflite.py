"""A text model as TFLite: one text, padded to a fixed length."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def export(module: Any, path: Path, length: int) -> None:
    """Write ``module`` with the inputs input_ids and attention_mask (1, ``length``) int32, and one output (1, width)."""
    import litert_torch
    import torch

    ids = torch.ones(1, length, dtype=torch.int32)
    converted = litert_torch.convert(module, sample_kwargs={"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    converted.export(str(path))
