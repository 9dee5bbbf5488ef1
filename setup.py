"""Everything is declared in pyproject.toml; this adds the two folders of data that stand at the top level."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = ("devices", "pipelines")


class BuildPy(build_py):
    """Also puts devices/*.toml and pipelines/*.toml into the wheel, as edgekd/devices and edgekd/pipelines.

    An editable install needs no copies: there, names are looked up in the checkout's own folders.
    """

    def run(self) -> None:
        """Build the package, then copy the data."""
        super().run()
        if self.editable_mode:
            return
        for source, target in self._data():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target), preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:  # noqa: FBT001, FBT002 (setuptools' signature)
        """The files that are built."""
        data = [] if self.editable_mode else [str(target) for _, target in self._data()]
        return [*super().get_outputs(include_bytecode), *data]

    def get_source_files(self) -> list[str]:
        """The files that a source distribution must have."""
        return [*super().get_source_files(), *(str(source) for source, _ in self._data())]

    def _data(self) -> Iterator[tuple[Path, Path]]:
        for folder in DATA:
            for source in sorted(Path(folder).glob("*.toml")):
                yield source, Path(self.build_lib) / "edgekd" / source


setup(cmdclass={"build_py": BuildPy})
