"""The sources of images that a pipeline can name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

from edgekd import dotted
from edgekd.data import bundled, dataset, folder, repeats
from edgekd.data.cache import Cache
from edgekd.data.dataset import OUTSIDE, SPLITS, DataSet
from edgekd.data.image_table import ImageColumns, ImageTable
from edgekd.data.images import Decoder, Size
from edgekd.data.origins import HUB_KEYS, TABLE_KEYS, Names, TabularConfig, origin
from edgekd.errors import BadInputError, nearest

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
Loaded = TypeVar("Loaded")
Loaded_co = TypeVar("Loaded_co", covariant=True)
KEYS = {
    "fashion-mnist-subset": frozenset({"use", "selection"}),
    "fashion-mnist": frozenset({"use", "selection", "path"}),
    "folder": frozenset({"use", "selection", "path", "image_size"}),
    "table": TABLE_KEYS | {OUTSIDE, "image_size"},
    "hub": HUB_KEYS | {OUTSIDE, "image_size"},
}


class DataConfig(TabularConfig):
    """The [data] table of image classification: a source, and what that source needs."""

    columns: ImageColumns = ImageColumns()
    image_size: Size | None = None  # height and width to which files are brought; see images.py
    out_of_domain: Names = ()

    def splits(self) -> dict[str, tuple[str, ...]]:
        """The files, or the hub's names, of each split that was given."""
        return {**super().splits(), OUTSIDE: self.out_of_domain}


class Source(Protocol[Loaded_co]):
    """One way to get a data set."""

    def check(self) -> None:
        """Refuse, quickly, what can be known without reading the data."""

    def digest(self) -> str:
        """SHA-256 of what the data set is made of."""

    def load(self) -> Loaded_co:
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
    decoder: Decoder
    splits: tuple[str, ...] = SPLITS

    def check(self) -> None:
        """Refuse a folder without class folders."""
        self.decoder.check()
        folder.class_names(self.root, self.splits)

    def digest(self) -> str:
        """SHA-256 over names and bytes of the images, and over what is made of them."""
        return self._digest

    def load(self) -> DataSet:
        """Decode every image, one after another."""
        return folder.load(self.root, self.decoder, self._digest, self.splits)

    @cached_property
    def _digest(self) -> str:
        return self.decoder.digest(folder.digest(self.root))


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
        return dataset.check(called(self.name, DataSet))


@dataclass(frozen=True)
class Noted:
    """A source whose data is checked, and says how many test images are training images too."""

    raw: Source[DataSet]

    def check(self) -> None:
        """Refuse what the source refuses."""
        self.raw.check()

    def digest(self) -> str:
        """The source's own."""
        return self.raw.digest()

    def load(self) -> DataSet:
        """Read it, check it and count."""
        return repeats.note_images(dataset.check(self.raw.load()))


def called(name: str, expected: type[Loaded]) -> Loaded:
    """Call 'module:function' and return what it made.

    Raises:
        BadInputError: no such function, one that raises, or one that returns something else.

    """
    function = dotted.function(name, "[data] use")
    try:
        made = function()
    except Exception as error:  # whatever a user's function does
        raise BadInputError(f"[data] use: {name} raised {type(error).__name__}: {error}") from error
    if not isinstance(made, expected):
        raise BadInputError(
            f"[data] use: {name} returned a {type(made).__name__}, expected {expected.__module__}.{expected.__name__}"
        )
    return made


def source(config: DataConfig, cache: Path | None = None) -> Source[DataSet]:
    """Return the source that ``config`` names.

    Args:
        config: the [data] table, its files already found beside the pipeline.
        cache: where tables and decoded images are kept as memory-mapped files; a temporary folder where it is None.

    Raises:
        BadInputError: no such source, a key that is missing, or one that the source has no use for.

    """
    return Noted(_raw(config, cache, SPLITS))


def training(config: DataConfig, cache: Path | None = None) -> Source[DataSet]:
    """Return the same for the training split alone: tables and folders need no other, and none is looked at."""
    return _raw(config, cache, ("train",))


def _raw(config: DataConfig, cache: Path | None, splits: tuple[str, ...]) -> Source[DataSet]:
    if ":" in config.use:
        config.refuse_other_keys({"use", "selection"})
        return Function(config.use)
    if config.use not in KEYS:
        raise BadInputError(f"[data] use: found {config.use!r}", nearest(config.use, KEYS) + " Or 'module:function'.")
    config.refuse_other_keys(KEYS[config.use] - (frozenset() if "test" in splits else {"test", OUTSIDE}))
    if config.use == "fashion-mnist-subset":
        return FashionMnist(bundled.SUBSET, "Fashion-MNIST subset")
    if config.use == "fashion-mnist":
        return FashionMnist(bundled.full_files(config.path or DEBIAN_FOLDER), "Fashion-MNIST")
    kept = Cache(cache)
    decoder = Decoder(config.image_size, kept)
    if config.use != "folder":
        read = (*splits, OUTSIDE) if config.out_of_domain else splits
        return ImageTable(origin(config, kept, read), config.columns, decoder, read)
    if config.path is None:
        raise BadInputError("[data]: found use = 'folder' and no path, expected path = 'FOLDER'")
    return ImageFolder(config.path, decoder, splits)
