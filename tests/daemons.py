"""Real daemons for the targets' tests: an sshd and an adbd of our own on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SSHD = "/usr/sbin/sshd"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def sshd(root: Path) -> Iterator[Path]:
    """Run one with keys of its own; yields an ssh configuration in which it is the host 'board'."""
    assert Path(SSHD).exists(), "install openssh-server: .ci/install-system-packages"
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / name], check=True)
    shutil.copy(root / "client.pub", root / "authorized")
    port = free_port()
    (root / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {root}/host\nPidFile {root}/pid\n"
        f"AuthorizedKeysFile {root}/authorized\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
        "PermitRootLogin yes\nMaxSessions 20\n"
    )
    kind, key = (root / "host.pub").read_text().split()[:2]
    (root / "known").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (root / "config").write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {root}/client\n"
        f"  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {root}/known\n  StrictHostKeyChecking yes\n"
    )
    server = subprocess.Popen([SSHD, "-D", "-f", root / "sshd_config", "-E", root / "log"])
    try:
        _wait_for(port)
        yield root / "config"
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on port {port}")


ROOT = Path(__file__).parents[1] / ".system" / "adbd"  # scripts/make_adbd_root.sh
GETPROP = """#!/bin/sh
case "$1" in
  ro.product.model) echo "A recorded phone";;
  ro.build.fingerprint) echo "maker/model:14/ABC:user/release-keys";;
  ro.build.version.release) echo 14;;
esac
"""
# Written by hand after the format of Android 14's `dumpsys`, for want of a phone.
DUMPSYS = """#!/bin/sh
case "$1" in
  battery) printf 'Current Battery Service state:\\n  AC powered: false\\n  USB powered: true\\n  level: 87\\n'
    printf '  status: 2\\n  temperature: 314\\n';;
  thermalservice) printf 'IsStatusOverride: false\\nThermal Status: 1\\n';;
  power) printf 'Power Manager State:\\n  mWakefulness=Asleep\\n';;
esac
"""


class Phone:
    """A running adbd with an adb server of its own; ``kill`` ends the daemon in the middle of whatever it does."""

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self._owns_server = environment is None
        self.serial = f"127.0.0.1:{free_port()}"
        self.environment = environment or {
            "ANDROID_ADB_SERVER_PORT": str(free_port()),
            "HOME": str(root),
            "ADB_MDNS": "0",
            "ADB_MDNS_AUTO_CONNECT": "0",
        }
        self.tools = root / "tools"
        self.tools.mkdir()
        for name, script in (("getprop", GETPROP), ("dumpsys", DUMPSYS)):
            (self.tools / name).write_text(script)
            (self.tools / name).chmod(0o755)
        self.daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        library = "usr/lib/x86_64-linux-gnu"
        loader = [ROOT / "usr/lib64/ld-linux-x86-64.so.2", "--library-path"]
        paths = f"{ROOT}/{library}:{ROOT}/{library}/android"
        environment = {"ADBD_PORT": self.serial.rpartition(":")[2], "PATH": f"{self.tools}:/usr/bin:/bin"}
        command = [*loader, paths, ROOT / "usr/lib/android-sdk/platform-tools/adbd"]
        self.daemon = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for(int(environment["ADBD_PORT"]))
        self.adb("connect", self.serial)
        self.adb("-s", self.serial, "wait-for-device")

    def adb(self, *words: str) -> str:
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            ["adb", *words], env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()

    def end(self) -> None:
        self.kill()
        self.adb(*(["kill-server"] if self._owns_server else ["disconnect", self.serial]))


@contextmanager
def phone(root: Path, environment: Mapping[str, str] | None = None) -> Iterator[Phone]:
    """Run a real adbd, on this machine's own files; ``environment`` is that of another one's adb server.

    It listens on all addresses and asks nobody for a key: for the seconds of a test, on a port that is drawn.
    """
    assert ROOT.exists(), "run: make test-system, which runs scripts/make_adbd_root.sh"
    one = Phone(root, environment)
    try:
        one.start()
        yield one
    finally:
        one.end()
