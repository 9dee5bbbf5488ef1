"""edgekd init."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edgekd.starting.data import Found, Table


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="A CSV, JSON lines or Parquet file, or image folder.",
)
@click.option("--test", type=click.Path(path_type=Path), help="Its test rows; without, a part is set aside.")
@click.option(
    "--column", "columns", multiple=True, metavar="ROLE=NAME", help="What a column is: text=body; repeatable."
)
@click.option("--teacher", metavar="DIR|FILE|MODULE:FUNCTION", help="An encoder's folder or id, a file, a function.")
@click.option("--weights", type=click.Path(path_type=Path), help="The weights of MODULE:FUNCTION.")
@click.option("--device", default="host", show_default=True, metavar="NAME", help="A device's name or file.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def command(**given: Any) -> int:
    """Write a pipeline for your data and teacher into DIR, after a look at both. Nothing is asked or trained."""
    from edgekd import device
    from edgekd.starting import pipeline, teacher

    chosen = device.load(given["device"])
    root: Path = given["folder"]
    data = _data(given, root)
    found = teacher.look(given["teacher"], given["weights"], data, root)
    text = pipeline.text(data, found, chosen)
    for line in (*data.said, found.said):
        click.echo(line, err=given["dry_run"])
    if given["dry_run"]:
        click.echo(text, nl=False)
        return 0
    path = root / f"{data.name}.toml"
    _write({path: text, **{root / name: _csv(table) for name, table in data.files.items()}}, force=given["force"])
    rest = shlex.join([str(path), "--device", given["device"]])
    click.echo(f"next: edgekd plan {rest}")
    click.echo(f"then: edgekd build {rest}")
    return 0


def _data(given: Mapping[str, Any], root: Path) -> Found:
    from edgekd.errors import BadInputError
    from edgekd.starting import columns, data

    path: Path = given["data"]
    roles = {}
    for each in given["columns"]:
        role, equals, name = each.partition("=")
        if not equals or role not in columns.KNOWN:
            raise BadInputError(
                f"--column: found {each!r}, expected ROLE=NAME, the role one of {', '.join(columns.KNOWN)}"
            )
        roles[role] = name
    if not path.exists():
        raise BadInputError(f"--data: found no file or folder {path}")
    return data.folder(path, root) if path.is_dir() else data.table(path, given["test"], roles, root)


def _write(files: Mapping[Path, str], *, force: bool) -> None:
    from edgekd.errors import BadInputError, unwritable

    there = [path for path in files if path.exists()]
    if there and not force:
        raise BadInputError(f"{there[0]}: found a file there, which is not overwritten", "--force, or another DIR")
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise unwritable(path, error) from None
        click.echo(f"wrote {path}")


def _csv(table: Table) -> str:
    held = io.StringIO()
    csv.writer(held).writerows([list(table), *zip(*table.values(), strict=True)])
    return held.getvalue()
