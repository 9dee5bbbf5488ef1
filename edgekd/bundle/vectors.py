"""Golden vectors of the finished files: what each takes and gives for some real test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.bundle.golden import INDEX, TYPES, Expected, GoldenIndex, Item, Stored
from edgekd.bundle.manifest import Place
from edgekd.bundle.tensors import BYTES
from edgekd.bundle.tolerances import tolerances
from edgekd.runtimes import for_file
from edgekd.tasks.base import Arrays, Outputs, Rows, Task
from edgekd.tasks.image_classification import ImageClassification
from edgekd.tasks.texts import TextTask

Fed = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Vectors:
    """The golden rows of a task, and the files that are made of them."""

    task: Task
    rows: Sequence[int]
    files: dict[Place, bytes] = field(default_factory=dict)

    def write(self, models: Mapping[Place, Path], made_on: str) -> dict[str, list[Fed]]:
        """Run every model on the rows, and add index and files; return each model's outputs."""
        raw = [self._raw(number, row) for number, row in enumerate(self.rows)]
        expected, limits, outputs = {}, {}, {}
        for name, path in models.items():
            fed, given = self._run(path)
            stem = Path(name).suffix[1:]
            expected[name] = [self._expected(f"{n:03d}-{stem}", fed[n], given[n]) for n in range(len(self.rows))]
            logits = self.task.outputs is Outputs.LOGITS
            limits[name], outputs[name] = tolerances(path, fed, given, logits=logits), given
        items = tuple(
            Item(raw=raw[n], label=self._label(row), models={name: each[n] for name, each in expected.items()})
            for n, row in enumerate(self.rows)
        )
        index = GoldenIndex(items=items, tolerances=limits, made_on=made_on)
        self.files[INDEX] = (index.model_dump_json(indent=1) + "\n").encode()
        return outputs

    def _raw(self, number: int, row: int) -> Place | None:
        content = self.task.raw("test", row)
        if content is None:
            return None
        place = f"golden/raw/{number:03d}{self.task.raw_suffix}"
        self.files[place] = content
        return place

    def _label(self, row: int) -> str | None:
        labels = self.task.test_labels
        return None if labels is None or not self.task.classes else self.task.classes[int(labels[row])]

    def _run(self, path: Path) -> tuple[list[Fed], list[Fed]]:
        runner = for_file(path).Runner(path, 1)
        fed = [runner.feed(self._inputs(row, runner.takes)) for row in self.rows]
        return fed, [{name: np.array(values) for name, values in runner.outputs(each).items()} for each in fed]

    def _inputs(self, row: int, takes: Sequence[Any]) -> Arrays:
        """One row; a text padded by its tokenizer's own token where the file has one length."""
        chosen: Rows = np.asarray([row], np.int64)
        length = takes[0].shape[-1] if len(takes[0].shape) == 2 else -1
        if isinstance(self.task, TextTask) and length > 0:
            return self.task.encoded("test").batch(chosen, length)
        if isinstance(self.task, ImageClassification) and takes[0].name == BYTES:
            image = self.task.data.test.images[chosen]
            return {BYTES: np.broadcast_to(image, (*image.shape[:3], 3))}
        return self.task.inputs("test", chosen)

    def _expected(self, stem: str, fed: Fed, given: Fed) -> Expected:
        return Expected(
            inputs=tuple(self._stored(f"{stem}-in{n}", *each) for n, each in enumerate(fed.items())),
            outputs=tuple(self._stored(f"{stem}-out{n}", *each) for n, each in enumerate(given.items())),
        )

    def _stored(self, stem: str, name: str, values: npt.NDArray[Any]) -> Stored:
        place, dtype = f"golden/tensors/{stem}.bin", values.dtype.name
        self.files[place] = np.ascontiguousarray(values, TYPES[dtype]).tobytes()
        return Stored.model_validate({"name": name, "file": place, "dtype": dtype, "shape": values.shape})
