"""Local: this machine, as if it were another one: for a user's own benchmark, which is run and read as on a phone."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from edgekd.device import Device
from edgekd.errors import StageError
from edgekd.targets.base import Session
from edgekd.targets.connection import Connection
from edgekd.targets.remote import RemoteSession


def prepare(device: Device) -> Session:
    """A session with this machine's own shell."""
    folder = device.reach.folder if device.reach else None
    return RemoteSession(Local("this machine"), device, folder or tempfile.gettempdir())


class Local(Connection):
    """A shell of our own."""

    def command(self) -> list[str]:
        """Nothing is between."""
        return ["sh"]

    def push(self, files: dict[str, Path]) -> None:
        """Copies, which may be run."""
        try:
            for name, path in files.items():
                shutil.copyfile(path, Path(self.folder, name))
                Path(self.folder, name).chmod(0o700)
        except OSError as error:
            raise StageError(
                f"{self.name}: {name} could not be copied to {self.folder}: {error.strerror}",
                "check that there is room: df -h",
            ) from error
