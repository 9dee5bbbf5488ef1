"""edgekd's command line in forks of one process that has imported what builds need.

A fresh interpreter spends most of a tiny build on importing torch and the TFLite converter. What a fork runs is still a
process of its own, with its own working folder, output and end; a test whose point is a fresh start takes
``Workshop.start``.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile

HEAVY = (
    *("torch", "torch_pruning", "onnxruntime.quantization", "litert_torch", "litert_quantizer.quantizer"),
    *("ai_edge_litert.interpreter", "ai_edge_litert.tools.flatbuffer_utils", "transformers", "matplotlib.figure"),
    *("torch.onnx._internal.exporter._core", "accelerate"),
    *("edgekd.cli.build", "edgekd.api", "edgekd.executor", "edgekd.report.folder", "edgekd.report.terminal"),
)
LARGEST = 1 << 20  # bytes of a request: arguments and environment
PER_TEST = {"PYTEST_CURRENT_TEST"}


class Warm:
    """The process that was started, and what it was started with."""

    def __init__(self) -> None:
        self._environment = _environment()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.settimeout(900)
        self._requests.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
        with theirs:
            command = [sys.executable, str(Path(__file__)), str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether libraries that read the environment when imported would have read the same."""
        return not environment and self._environment == _environment()

    def run(self, folder: Path, arguments: tuple[str, ...], environment: Mapping[str, str]) -> tuple[int, str, str]:
        """The exit code, and what was written to stdout and stderr."""
        with TemporaryFile() as out, TemporaryFile() as err:
            request = {"folder": str(folder), "arguments": arguments, "environment": dict(environment)}
            socket.send_fds(self._requests, [json.dumps(request).encode()], [out.fileno(), err.fileno()])
            answer = self._requests.recv(LARGEST)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        if not answer:
            raise RuntimeError(f"the warm process ended with {self._process.wait()}: {texts[1]}")
        return int(answer), texts[0], texts[1]

    def end(self) -> None:
        """It ends when nobody can ask any more."""
        self._requests.close()
        self._process.wait()


@cache
def started() -> Warm:
    """The one warm process of this session."""
    return Warm()


def end() -> None:
    """End it, if a test started it."""
    if started.cache_info().currsize:
        started().end()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in PER_TEST}


def _serve(requests: socket.socket) -> None:
    """Fork for every request and answer with the exit code; returns in each fork, to become ``python -m edgekd``."""
    while True:
        content, files, _, _ = socket.recv_fds(requests, LARGEST, 2)
        if not content:
            os._exit(0)
        if (pid := os.fork()) == 0:
            requests.close()
            _become(json.loads(content), files)
            return
        for file in files:
            os.close(file)
        _, status = os.waitpid(pid, 0)
        requests.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, object], files: list[int]) -> None:
    import numpy as np

    for file, name in zip(files, (1, 2), strict=True):
        os.dup2(file, name)
        os.close(file)
    os.chdir(str(request["folder"]))
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = str(request["folder"])
    sys.argv = ["edgekd", *request["arguments"]]
    np.random.seed()  # noqa: NPY002 (a fork would go on with the numbers of the others, and hide that nobody seeded)


def _main() -> None:
    from edgekd.models import quiet

    requests = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(requests.fileno(), False)
    with quiet.frameworks(), quiet.native_stderr():
        for name in HEAVY:
            import_module(name)
    gc.freeze()  # or the first collection of a fork would copy all pages of what was imported
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a fork would lose threads"
    _serve(requests)
    runpy.run_module("edgekd", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
