"""Busy: keep cores at work while something is measured, as other apps do on a phone in use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# It ends by itself if we are killed, for then another process becomes its parent.
WORK = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))\n"


@contextmanager
def busy(cores: int) -> Iterator[None]:
    """Have ``cores`` processes compute for as long as the context lasts."""
    with ExitStack() as stack:
        for _ in range(cores):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-S", "-c", WORK]))
            stack.callback(process.kill)
        yield
