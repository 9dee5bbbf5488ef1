"""Run a .keras file as a teacher, through the optional extra edgekd[tensorflow]."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekd.errors import MissingExtraError, StageError
from edgekd.models import quiet
from edgekd.runtimes import feeding
from edgekd.tasks.base import Arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

HINT = "save it with model.save('FILE.keras'); layers of your own and Lambda need code, so export those models to ONNX"


class KerasRunner:
    """A loaded Keras model that takes a task's inputs.

    Images are given with channels last where the model's input asks for it, token ids and mask by the names
    ``input_ids`` and ``attention_mask``. Code in the file is never run: a Lambda layer is refused.

    Raises:
        MissingExtraError: tensorflow isn't installed.
        StageError: a file that Keras can't load.

    """

    def __init__(self, path: Path, threads: int) -> None:
        with _quietly():
            load = _loader(threads)
            try:
                self._model = load(path, compile=False, safe_mode=True)
            except Exception as error:  # whatever the layers' own constructors raise
                found = " ".join(str(error).split())[:400]
                raise StageError(f"{path}: Keras can't load it: {found}", HINT) from error
        self._path = path
        self._wanted = [_wanted(each) for each in self._model.inputs]

    def run(self, batches: Iterable[Arrays]) -> npt.NDArray[np.float32]:
        """The first output (rows, width) for the rows of ``batches``; one by one where the file takes one at a time."""
        if self._wanted[0].shape[:1] != (-1,):
            batches = feeding.single_rows(batches)
        with _quietly():
            return np.concatenate([self._called(batch) for batch in batches])

    def _called(self, batch: Arrays) -> npt.NDArray[np.float32]:
        fed = feeding.feed(self._wanted, batch, str(self._path))
        made = self._model(fed if len(fed) > 1 else next(iter(fed.values())), training=False)
        while isinstance(made, list | tuple | dict):
            made = next(iter(made.values())) if isinstance(made, dict) else made[0]
        return np.asarray(made.numpy(), np.float32)


@contextmanager
def _quietly() -> Iterator[None]:
    with quiet.frameworks(), quiet.native_stderr():
        yield


def _loader(threads: int) -> Any:
    """Import Keras on tensorflow, which may use ``threads`` threads, and return its function that loads a model."""
    try:
        import tensorflow as tf  # type: ignore[import-not-found, import-untyped, unused-ignore]
        from keras.saving import load_model  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise MissingExtraError("tensorflow", "tensorflow", "a .keras file") from None
    with suppress(RuntimeError):  # tensorflow has worked in this process before us, and keeps its threads
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return load_model


def _wanted(found: Any) -> feeding.Wanted:
    shape = tuple(-1 if size is None else int(size) for size in found.shape)
    return feeding.Wanted(found.name, shape, str(found.dtype))
