"""Text classification: a text in, one logit a class out, scored by accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgekd.data.text_sources import TextDataConfig
from edgekd.data.text_sources import source as text_source
from edgekd.data.texts import UNLABELLED, Pairs, TextSet, check
from edgekd.errors import BadInputError
from edgekd.tasks.base import Outputs, Scored, Task
from edgekd.tasks.image_classification import correct
from edgekd.tasks.texts import TextTask

NAME: Final = "text-classification"
OUTPUTS = Outputs.LOGITS
TEACHING = {"optimizer": "adamw", "learning_rate": 5e-4, "weight_decay": 0.01, "batch_size": 32}
FINETUNING = {**TEACHING, "learning_rate": 1e-4, "losses": [{"use": "labels"}]}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "distill": TEACHING,
    "prune": TEACHING,
    "finetune": FINETUNING,
    "qat": {**TEACHING, "learning_rate": 1e-4},
}
DataConfig = TextDataConfig


def source(config: TextDataConfig, cache: Path | None) -> Any:
    """Where the texts come from."""
    return text_source(config, NAME, cache)


def open_task(data: TextSet, config: TextDataConfig, tokenizer: Path | None, scratch: Path) -> Task:
    """Bind texts to the task."""
    return TextClassification(check(data, NAME), config.selection, tokenizer, scratch)


class TextClassification(TextTask):
    """Texts, each of one class; training texts without one are learnt from the teacher alone."""

    metric = "accuracy"

    def __init__(self, data: TextSet, selection: int, tokenizer: Path | None, scratch: Path) -> None:
        super().__init__(data, selection, tokenizer, scratch)
        if isinstance(data.test, Pairs) or data.test.labels is None or data.train.labels is None:
            raise BadInputError(f"{data.title}: found texts without labels, expected a label for each test text")
        self._right = data.test.labels
        unlabelled = 0 if data.unlabelled is None else len(data.unlabelled)
        self._labels = np.concatenate([data.train.labels, np.full(unlabelled, UNLABELLED, np.int64)])

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The training texts' classes, -1 for none."""
        return self._labels

    @property
    def test_labels(self) -> npt.NDArray[np.int64]:
        """The test texts' classes."""
        return self._right

    def score(self, outputs: npt.NDArray[Any]) -> Scored:
        """1 for each text whose largest logit is its class's, else 0."""
        return Scored(correct(outputs, self._right), {"labels": self._right})
