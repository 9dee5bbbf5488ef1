"""Keep the exporters' and converters' chatter away from the user; errors still come through."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

LOUD = ("torch.onnx", "torchao", "torch.utils._pytree", "onnxscript", "onnx_ir", "jax", "absl", "root")
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "LITERT_TORCH_SHOW_PROGRESS": "n",
    "TQDM_DISABLE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}


@contextlib.contextmanager
def frameworks() -> Iterator[None]:
    """Silence warnings, progress bars, stray prints and log lines below ERROR while the block runs."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    loggers = [logging.getLogger(name) for name in LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def native_stderr() -> Iterator[None]:
    """Also silence what C++ code writes to file descriptor 2, which Python's redirection can't reach."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
