"""The run folder: artifacts/<pipeline>/<device>/<run>/, put in place whole; artifacts/latest points to the last."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from edgekd.report import figure, junit, markdown
from edgekd.report.model import Report


def write(report: Report, files: Mapping[str, Path], root: Path, complete: Callable[[Path], object] = Path) -> Path:
    """Copy ``files`` (place in the run folder -> where it is now) and the report; return the new run folder.

    ``complete`` adds to the folder before it is put in place.
    """
    parent = root / report.pipeline / report.device
    parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    try:
        partial.chmod(0o755)
        for place, source in files.items():
            (partial / place).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, partial / place)
        (partial / "report.json").write_text(to_json(report), encoding="utf-8")
        for form in (markdown, junit):
            (partial / form.NAME).write_text(form.text(report), encoding="utf-8")
        if report.candidates and figure.possible():
            figure.draw(report, partial / figure.NAME)
        complete(partial)
        run = _put_in_place(partial, parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _point_latest(root, run)
    return run


def to_json(report: Report) -> str:
    """report.json's text; also what ``--json`` prints."""
    return json.dumps(asdict(report), indent=1, default=str) + "\n"


def _put_in_place(partial: Path, parent: Path) -> Path:
    """Rename ``partial`` to the time of day, with a number where another run of that second has the name."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for number in count(2):
        run = parent / (stamp if number == 2 else f"{stamp}-{number - 1}")
        try:
            os.rename(partial, run)  # noqa: PTH104 (fails where a run of another build has come first)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return run
    raise AssertionError("count() never ends")


def _point_latest(root: Path, run: Path) -> None:
    link = Path(tempfile.mktemp(prefix=".latest-", dir=root))  # noqa: S306 (a link can't be made in place)
    link.symlink_to(run.relative_to(root), target_is_directory=True)
    os.replace(link, root / "latest")
