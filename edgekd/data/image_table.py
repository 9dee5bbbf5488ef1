"""Images out of a table: a column of paths beside it or of encoded images, and a column of labels."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from edgekd.data import labels
from edgekd.data.dataset import OUTSIDE, SPLITS, DataSet, Split
from edgekd.data.images import Decoder, Image
from edgekd.data.origins import Origin
from edgekd.data.tables import Table, Wanted
from edgekd.errors import BadInputError
from edgekd.toml_file import Frozen


class ImageColumns(Frozen):
    """[data] columns: what the columns are called."""

    image: str = "image"  # a path relative to the table, the bytes of an image file, or both as ``datasets`` has them
    label: str = "label"


@dataclass(frozen=True)
class ImageTable:
    """Images with labels, in tables.

    Attributes:
        origin: where the tables come from.
        columns: their columns.
        decoder: makes arrays of the images.
        splits: those that are read; another one is empty.

    """

    origin: Origin
    columns: ImageColumns
    decoder: Decoder
    splits: tuple[str, ...] = SPLITS

    def check(self) -> None:
        """Refuse missing files and columns."""
        self.decoder.check()
        self.origin.check(self._wanted)

    def digest(self) -> str:
        """SHA-256 over the tables, the files that they name, and what is made of these."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        total = hashlib.sha256(self.origin.digest(self._wanted).encode())
        for split, wanted in self._wanted.items():
            table = self.origin.open(split, wanted)
            for row, value in enumerate(table.column(self.columns.image)):
                if not isinstance(_embedded(value), bytes):
                    total.update(hashlib.sha256(self._encoded(value, split, table.where, row)[0]).digest())
        return self.decoder.digest(total.hexdigest())

    def load(self) -> DataSet:
        """Decode every image, one after another.

        Raises:
            BadInputError: a row without an image or a label, an image that can't be read, images of different sizes.

        """
        opened = {split: self.origin.open(split, wanted) for split, wanted in self._wanted.items()}
        others = opened.pop(OUTSIDE, None)
        outside = None if others is None else self._images(OUTSIDE, others)
        found = {split: labels.of_table(table, self.columns.label) for split, table in opened.items()}
        names = labels.classes(list(found.values()))
        read = {
            split: Split(self._images(split, table), labels.numbers(found[split], names))
            for split, table in opened.items()
        }
        train = read["train"]
        absent = np.setdiff1d(np.arange(len(names)), train.labels)
        if len(absent):
            raise BadInputError(f"{opened['train'].where}: found no training image of the class {names[absent[0]]!r}")
        title = ", tested on ".join(table.where for table in opened.values())
        return DataSet(title, names, train, read.get("test", train.none()), out_of_domain=outside)

    @property
    def _wanted(self) -> dict[str, Wanted]:
        image, label = self.columns.image, self.columns.label
        return {split: Wanted((image,) if split == OUTSIDE else (image, label)) for split in self.splits}

    def _images(self, split: str, table: Table) -> Image:
        rows = enumerate(table.column(self.columns.image))
        encoded = (self._encoded(value, split, table.where, row) for row, value in rows)
        return self.decoder.kept(f"{self._digest}-{split}", ((io.BytesIO(raw), at) for raw, at in encoded), len(table))

    def _encoded(self, value: Any, split: str, where: str, row: int) -> tuple[bytes, str]:
        """An image's bytes, and what an error calls it."""
        raw = _embedded(value)
        if isinstance(raw, bytes):
            return raw, f"{where}, row {row}"
        name = value.get("path") if isinstance(value, dict) else value
        if not isinstance(name, str) or not name:
            raise BadInputError(
                f"{where}, row {row}: found {name!r}, expected the path or the bytes of an image",
                "[data] columns = { image = … } says which column has them",
            )
        path = self.origin.folder(split) / name
        try:
            return path.read_bytes(), str(path)
        except OSError as error:
            raise BadInputError(f"{where}, row {row}: found no readable image {path} ({error.strerror})") from error


def _embedded(value: Any) -> Any:
    return value.get("bytes") if isinstance(value, dict) else value
