"""The sources of data that a pipeline can name, and the lazy handle that stages read them through."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field

from edgekd import dotted
from edgekd.data import bundled, dataset, folder
from edgekd.data.dataset import DataSet
from edgekd.errors import BadInputError, nearest
from edgekd.toml_file import Frozen

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


class DataConfig(Frozen):
    """The [data] table: a source, and what that source needs."""

    use: str
    path: Path | None = None
    selection: Annotated[int, Field(ge=1)] = 500  # training images kept for choosing, never trained on


class Source(Protocol):
    """One way to get a data set."""

    def check(self) -> None:
        """Refuse, quickly, what can be known without reading the data."""

    def digest(self) -> str:
        """SHA-256 of what the data set is made of."""

    def load(self) -> DataSet:
        """Read it."""


@dataclass(frozen=True)
class FashionMnist:
    """Fashion-MNIST: the vendored subset, or the four files of the full set."""

    files: tuple[Path, ...]
    title: str

    def check(self) -> None:
        """Refuse missing files."""
        for path in self.files:
            if not path.is_file():
                raise BadInputError(
                    f"[data] path: found no file {path}",
                    "the full set comes with Debian's package dataset-fashion-mnist",
                )

    def digest(self) -> str:
        """SHA-256 over the packed files."""
        return bundled.digest(self.files)

    def load(self) -> DataSet:
        """Unpack the files."""
        return bundled.load(self.files, self.title)


@dataclass(frozen=True)
class ImageFolder:
    """Images below ROOT/train/CLASS and ROOT/test/CLASS."""

    root: Path

    def check(self) -> None:
        """Refuse a folder without class folders."""
        folder.class_names(self.root)

    def digest(self) -> str:
        """SHA-256 over names and bytes of the images."""
        return folder.digest(self.root)

    def load(self) -> DataSet:
        """Decode every image."""
        return folder.load(self.root)


@dataclass
class Function:
    """``module:function`` that returns a DataSet; called once, and digested by what it returned."""

    name: str

    def check(self) -> None:
        """Refuse a module that isn't there."""
        dotted.source(self.name, "[data] use")

    def digest(self) -> str:
        """SHA-256 over the arrays that it returned."""
        return dataset.digest(self._data)

    def load(self) -> DataSet:
        """Return what the function returned."""
        return self._data

    @cached_property
    def _data(self) -> DataSet:
        function = dotted.function(self.name, "[data] use")
        try:
            made = function()
        except Exception as error:
            raise BadInputError(f"[data] use: {self.name} raised {type(error).__name__}: {error}") from error
        if not isinstance(made, DataSet):
            raise BadInputError(
                f"[data] use: {self.name} returned a {type(made).__name__}, expected edgekd.data.dataset.DataSet"
            )
        return dataset.check(made)


def source(config: DataConfig) -> Source:
    """Return the source that ``config`` names.

    Raises:
        BadInputError: no such source, or one that needs a path without one.

    """
    if config.use == "fashion-mnist-subset":
        return FashionMnist(bundled.SUBSET, "Fashion-MNIST subset")
    if config.use == "fashion-mnist":
        return FashionMnist(bundled.full_files(config.path or DEBIAN_FOLDER), "Fashion-MNIST")
    if config.use == "folder":
        if config.path is None:
            raise BadInputError("[data]: found use = 'folder' and no path, expected path = 'FOLDER'")
        return ImageFolder(config.path)
    if ":" in config.use:
        return Function(config.use)
    known = ("fashion-mnist-subset", "fashion-mnist", "folder")
    raise BadInputError(f"[data] use: found {config.use!r}", nearest(config.use, known) + " Or 'module:function'.")


class Data:
    """A source with its digest and its data set, each read when first asked for."""

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.source = source(config)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the data and of how it is split."""
        return f"{self.source.digest()}:{self.config.selection}"

    @cached_property
    def set(self) -> DataSet:
        """The data set, checked."""
        return dataset.check(self.source.load())
