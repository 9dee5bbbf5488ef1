"""edgekd bundle."""

from __future__ import annotations

from pathlib import Path

import click

from edgekd.errors import EXIT_OK


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Where to write [default: the run folder]."
)
@click.option("--force", is_flag=True, help="Overwrite another bundle.")
@click.option(
    "--sign", type=click.Path(path_type=Path), metavar="KEY", help="Sign the checksums: an ed25519 private key in PEM."
)
def command(run: Path, output: Path | None, sign: Path | None, *, force: bool) -> int:
    """Bundle a finished RUN again: write bundle/ and bundle.zip, the same bytes as before.

    RUN is a run folder, for example artifacts/latest.
    """
    from edgekd.bundle import writing

    folder = writing.write(run, output or run, force=force, key=sign)
    click.echo(folder)
    click.echo(folder.with_name(writing.ZIP))
    return EXIT_OK
