"""Olive: its passes OnnxStaticQuantization and OnnxDynamicQuantization as they are, without a search."""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from quantizing.rivals.given import Given, read

given_rows: list[Any] = []  # what the data set below has: Olive makes it by name


def main(given: Given) -> None:
    workflows: Any = import_module("olive.workflows")
    given_rows.extend((row, 0) for row in given.rows)
    register()
    with tempfile.TemporaryDirectory() as folder:
        step = {"type": "OnnxDynamicQuantization"} if given.is_text else static()
        workflows.run(
            {
                "input_model": {"type": "ONNXModel", "model_path": str(given.model)},
                "passes": {"quantize": step},
                "output_dir": folder,
                "cache_dir": f"{folder}/cache",
                "log_severity_level": 3,
            }
        )
        shutil.copy(next(Path(folder).glob("*.onnx")), given.target)


def static() -> dict[str, Any]:
    """The pass with the rows as its data."""
    data = {
        "name": "rows",
        "user_script": __file__,
        "load_dataset_config": {"type": "given_rows_dataset"},
        "pre_process_data_config": {"type": "skip_pre_process"},
        "post_process_data_config": {"type": "skip_post_process"},
        "dataloader_config": {"type": "no_auto_batch_dataloader"},
    }
    return {"type": "OnnxStaticQuantization", "data_config": data}


def register() -> None:
    """Tell Olive's registry of the rows."""
    registry: Any = import_module("olive.data.registry").Registry
    registry.register_dataset("given_rows_dataset")(lambda **_: given_rows)


if __name__ == "__main__":
    sys.modules["by_olive"] = sys.modules["__main__"]
    main(read())
