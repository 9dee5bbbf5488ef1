"""A virtual environment of its own, for packages whose libraries don't go with edgekd's: tests marked ``system``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def made(folder: Path, *requirements: str) -> Path:
    """Install ``requirements`` into a new environment below ``folder``; returns its Python."""
    python = folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *requirements]
    done = subprocess.run(install, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return python


def answers(python: Path, script: Path, request: dict[str, Any], folder: Path) -> Any:
    """Run ``script`` there with ``request`` as JSON; returns what it wrote."""
    asked, answered = folder / "request.json", folder / "answers.json"
    answered.unlink(missing_ok=True)
    asked.write_text(json.dumps(request))
    done = subprocess.run(
        [str(python), str(script), str(asked), str(answered)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(answered.read_text())
