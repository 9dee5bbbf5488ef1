"""A text model as TFLite: one text, padded to a fixed length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.errors import MissingExtraError


def export(module: Any, path: Path, length: int) -> None:
    """Write ``module`` with the inputs input_ids and attention_mask (1, ``length``) int32, and one output (1, width).

    The length is fixed, as litert-torch has no free sizes; shorter texts are padded with a mask of 0.

    Raises:
        MissingExtraError: litert-torch is not installed.

    """
    import torch

    try:
        import litert_torch
    except ImportError:
        raise MissingExtraError("litert-torch", "tflite", "the export to TFLite") from None
    from edgekd.exporters.lean import lean

    ids = torch.ones(1, length, dtype=torch.int32)
    converted = litert_torch.convert(
        lean(module), sample_kwargs={"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    )
    converted.export(str(path))
