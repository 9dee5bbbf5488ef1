"""Measure on a board, or any Linux machine, over ssh: by its own Python if that has the runtime, else by our runner.

``ssh`` is the user's own, so ~/.ssh/config, agents and jump hosts work. One connection is shared by all commands.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory

from edgekd.device import Device
from edgekd.errors import BadInputError, StageError
from edgekd.reach import Reach
from edgekd.targets.base import Session
from edgekd.targets.connection import TELL, Connection, last_lines, program
from edgekd.targets.remote import RemoteSession

FOLDER = "/tmp"  # noqa: S108 (mktemp -d makes a folder of its own there)
# No question is ever asked, and a dead connection is noticed within 15 s.
OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3")


def prepare(device: Device) -> Session:
    """Connect to the host of [reach]."""
    reach = device.reach
    if reach is None or reach.host is None:
        raise BadInputError(f"{device.path}: found no host in [reach], expected one for ssh", 'host = "board.local"')
    if reach.serial is not None:
        raise BadInputError(f"{device.path}: found a serial in [reach], which ssh has no use for", "remove it")
    return RemoteSession(Ssh(reach, program("ssh", "openssh-client")), device, reach.folder or FOLDER)


class Ssh(Connection):
    """A connection whose first command, the guard, is the master that all others share."""

    def __init__(self, reach: Reach, ssh: str) -> None:
        super().__init__(f"{reach.host}")
        self._own = TemporaryDirectory(prefix="edgekd-ssh-")  # short: a socket's path has at most 104 letters
        place = self._own.name.replace("%", "%%")  # ssh reads it as a line of its configuration
        self._base = [ssh, "-T", "-o", f'ControlPath="{place}/c"']
        for option in OPTIONS:
            self._base += ["-o", option]
        if reach.config is not None:
            self._base += ["-F", reach.config]
        if reach.port is not None:
            self._base += ["-p", str(reach.port)]
        if reach.user is not None:
            self._base += ["-l", reach.user]
        self._host = str(reach.host)

    def command(self) -> list[str]:
        """Over the shared connection, never a new one."""
        return [*self._base, "-o", "ControlMaster=no", "-o", "ProxyCommand=false", "--", self._host, "exec sh"]

    def guarding(self) -> list[str]:
        """The connection itself."""
        return [*self._base, "-o", "ControlMaster=yes", "-o", "ControlPersist=no", "--", self._host, "exec sh"]

    def push(self, files: dict[str, Path]) -> None:
        """As one tar archive: scp of older versions has the remote shell read its paths."""
        script = f"cd {quote(self.folder)} && tar -xf - ; {TELL}"
        command = [*self.command()[:-1], f"exec sh -c {quote(script)}"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
            assert process.stdin is not None  # noqa: S101
            try:
                with tarfile.open(fileobj=process.stdin, mode="w|") as archive:
                    for name, path in files.items():
                        _add(archive, name, path)
            except BrokenPipeError:
                pass
            output, noise = process.communicate()
        if b"EDGEKD_RC=0" not in output:
            reason = last_lines(noise.decode(errors="replace"))
            raise StageError(
                f"{self.name}: files could not be copied to {self.folder}: {reason}",
                "check that there is room: df -h there",
            )

    def advice(self, reason: str) -> str:
        """What ssh's own words mean."""
        if "Host key verification failed" in reason:
            return f"connect once by hand, so that its key is known: ssh {self._host}"
        if "Permission denied" in reason:
            return f"edgekd asks for no password: make a key (ssh-keygen), and copy it: ssh-copy-id {self._host}"
        return f"try: ssh {self._host} true"

    def ending(self) -> None:
        """Remove the socket."""
        self._own.cleanup()


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    content = path.read_bytes()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o700
    archive.addfile(entry, io.BytesIO(content))
