"""Images without a daemon: buildah builds them (chroot), podman runs them (runc), in a store of their own.

The store has the driver overlay. STORAGE_DRIVER=vfs does without, where the kernel or the file system can't: that
copies a whole image for each layer and each container, which takes minutes.

The base is made by mmdebstrap, so that no registry is needed: Debian 12 with its Python 3.11, as in the official one,
but in /usr/bin. So this proves the Dockerfile's steps, and not the official base.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

BASE = "localhost/edgekd-base"
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
# what a process may open and start: more than this can't be raised to by everybody
RUN = ("run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none")  # noqa: S108 (the container's own)
LIMITS = ("--ulimit", "nofile=1024:20000", "--ulimit", "nproc=1000:1000")


@dataclass(frozen=True)
class Engine:
    """A store of images, and the programs that work on it."""

    folder: Path

    def environment(self) -> dict[str, str]:
        """That of this process, with the store's place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        place = self.folder / "storage.conf"
        driver = os.environ.get("STORAGE_DRIVER", "overlay")
        roots = f'graphroot = "{self.folder}/root"\nrunroot = "{self.folder}/run"'
        place.write_text(f'[storage]\ndriver = "{driver}"\n{roots}\n')
        return os.environ | {"CONTAINERS_STORAGE_CONF": str(place)}

    def build(self, context: Path, tag: str, *options: str) -> None:
        """Build ``tag`` from the Dockerfile in ``context``."""
        words = ["buildah", "--signature-policy", str(self.folder / "policy.json"), "bud", "--pull-never"]
        words += ["--layers=false", "--isolation", "chroot", "-t", tag, *options, str(context)]
        subprocess.run(words, env=self.environment(), check=True)

    def base(self) -> None:
        """Make the base, if it isn't there."""
        if subprocess.run(["podman", "image", "exists", BASE], env=self.environment(), check=False).returncode == 0:
            return
        context = self.folder / "base"
        context.mkdir(exist_ok=True)
        made = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", "base.tar"]
        subprocess.run(made, cwd=context, check=True)
        (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        self.build(context, BASE)
        (context / "base.tar").unlink()

    def size_bytes(self, tag: str) -> int:
        """How large an image is, with its base."""
        asked = ["podman", "image", "inspect", tag]
        done = subprocess.run(asked, env=self.environment(), check=True, capture_output=True)
        return int(json.loads(done.stdout)[0]["Size"])

    def start(self, tag: str, folder: Path, *arguments: str, user: str = "") -> subprocess.Popen[str]:
        """Run the image, with ``folder`` as its /work, and nothing else that can be written to but /tmp."""
        words = ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", *RUN, *LIMITS]
        words += [*(["--user", user] if user else []), "-v", f"{folder}:/work", tag, *arguments]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(words, env=self.environment(), text=True, start_new_session=True, **streams)  # type: ignore[call-overload, no-any-return]


def pip_settings(folder: Path) -> list[str]:
    """Options of a build in which pip finds what it finds here: a mirror, certificates, folders with wheels.

    They are mounted while it builds, and not in the image.
    """
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    values = dict(_settings(listed.stdout))
    file = folder / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))
    words = " ".join(values.values()).replace("file://", "").split()
    paths = {path for word in words if word.startswith("/") for path in _mounted(Path(word))}
    return [
        option
        for source, target in [(file, "/etc/pip.conf"), *((path, path) for path in sorted(paths))]
        for option in ("--volume", f"{source}:{target}:ro")
    ]


def _settings(listed: str) -> Iterator[tuple[str, str]]:
    for line in listed.splitlines():
        found = re.fullmatch(r"(?:global\.|:env:\.)([\w-]+)='(.*)'", line)
        if found and found[1] != "config-file":
            yield found[1], found[2].replace("\\n", " ")


def _mounted(path: Path) -> Sequence[Path]:
    """The path, and what its links lead to; of an index also the files beside its folder 'simple', which it names."""
    whole = path.parent if path.name == "simple" else path
    return [whole, *({whole.resolve()} - {whole})] if path.exists() else []
