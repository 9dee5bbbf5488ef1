"""edgekd verify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--key", type=click.Path(path_type=Path), metavar="PUBLIC.pem", help="The bundle must be signed by this key's pair."
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    metavar="NAME==VERSION",
    help="Run in a throw-away environment with that version, for example onnxruntime==1.18.0; repeatable.",
)
@click.option("--parity", type=click.Choice(["arm64"]), help="Run on an emulated Arm core too; numerics alone.")
@click.option(
    "--cpu", default="cortex-a76", show_default=True, help="The core that --parity emulates, as qemu names it."
)
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def command(bundle: Path, *, as_json: bool, parity: str | None, cpu: str, **asked: Any) -> int:
    """Check that BUNDLE, a folder or a zip, is whole, agrees with itself and gives its golden answers here.

    Ends with 0 (it does), 1 (something doesn't match), 2 (no bundle) or 3 (no runtime here for any of its files).
    """
    from edgekd.bundle import verifying

    found = verifying.verify(bundle, verifying.Asked(**asked, cpu=cpu if parity else None))
    click.echo(found.json() if as_json else "\n".join(found.lines()))
    return found.exit_code
