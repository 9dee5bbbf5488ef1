"""edgekd clean."""

from __future__ import annotations

import re
import time
from pathlib import Path

import click


@click.command("clean")
@click.option("--older-than", metavar="AGE", help="Remove what was made longer ago: '30d', '12h'.")
@click.option("--max-size", metavar="SIZE", help="Then remove the oldest until the store has at most that: '5GB'.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option(
    "-o", "--output", default="artifacts", show_default=True, type=click.Path(path_type=Path), help="The output folder."
)
def command(older_than: str | None, max_size: str | None, output: Path, *, dry_run: bool) -> int:
    """Free the store in the output folder: finished steps, checkpoints and tables that no report there needs."""
    from edgekd import cleaning, units
    from edgekd.errors import BadInputError

    if older_than is None and max_size is None:
        raise BadInputError("found neither --older-than nor --max-size", "for example: edgekd clean --older-than 30d")
    before_s = None if older_than is None else time.time() - _age_s(older_than)
    most = None if max_size is None else int(units.parse(max_size, "B", "--max-size"))
    found = cleaning.entries(output)
    cleaned = cleaning.clean(output, found, cleaning.choose(found, before_s, most), dry_run=dry_run)
    for each in cleaned.gone:
        click.echo(f"{each.what:<12} {units.show(each.size_bytes, 'B'):>9}  {each.path}")
    for each in cleaned.held:
        click.echo(f"held by a build, so it stays: {each.path}", err=True)
    freed = units.show(sum(each.size_bytes for each in cleaned.gone), "B")
    needed = units.show(sum(each.size_bytes for each in found if each.needed), "B")
    verb = "would be freed" if dry_run else "freed"
    click.echo(f"{freed} {verb}, {units.show(cleaned.kept_bytes, 'B')} kept, {needed} of it for reports")
    if most is not None and cleaned.kept_bytes > most:
        click.echo(
            f"more than {max_size} is left: remove runs that nobody needs below {output}, and clean again", err=True
        )
    return 0


def _age_s(text: str) -> float:
    from edgekd.errors import BadInputError

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([dh])\s*", text)
    if match is None:
        raise BadInputError(f"--older-than: found {text!r}, expected days or hours", "write for example '30d' or '12h'")
    return float(match[1]) * {"d": 86400, "h": 3600}[match[2]]
