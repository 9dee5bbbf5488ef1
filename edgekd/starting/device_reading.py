"""Read off what a device tells of itself: this machine, one behind ssh, or a phone behind adb, by the same script."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgekd.errors import BadInputError

Way = Literal["host", "adb", "ssh"]
CPU = "/sys/devices/system/cpu"
PROPERTIES = (
    *("ro.product.manufacturer", "ro.product.model", "ro.soc.manufacturer", "ro.soc.model", "ro.board.platform"),
    *("ro.build.version.release", "ro.build.version.sdk"),
)
# Only what every shell has. What isn't there gives an empty part, and is unknown then.
SCRIPT = f"""exec 2>/dev/null
part() {{ printf '\\n@@%s\\n' "$1"; }}
part machine; uname -m
part kernel; uname -sr
part cpuinfo; cat /proc/cpuinfo
part memory; head -n 1 /proc/meminfo
part cores
for c in {CPU}/cpu[0-9]*; do
  printf '%s|%s|%s\\n' "${{c##*/cpu}}" "$(cat "$c/cpufreq/cpuinfo_max_freq")" "$(cat "$c/regs/identification/midr_el1")"
done
part board; tr '\\000' '\\n' </proc/device-tree/model
part compatible; tr '\\000' '\\n' </proc/device-tree/compatible
part product; cat /sys/class/dmi/id/product_name
part release; sed -n 's/^PRETTY_NAME=//p' /etc/os-release
part battery; cat /sys/class/power_supply/battery/charge_full_design
for p in {" ".join(PROPERTIES)}; do part "$p"; getprop "$p"; done
"""


@dataclass(frozen=True, slots=True)
class There:
    """How to get to the device, as its [reach] table says it."""

    way: Way
    reach: Mapping[str, str | int]


def there(way: Way, where: str | None, config: Path | None, port: int | None) -> There:
    """Check how a device is to be reached.

    ``where`` is a serial for adb, USER@HOST or HOST for ssh.

    Raises:
        BadInputError: too much or too little is said for this way, or a name that can't be one.

    """
    if way == "ssh" and not where:
        raise BadInputError(
            "found --from ssh without a host, expected one", "edgekd devices new NAME --from ssh USER@HOST"
        )
    if way == "host" and where:
        raise BadInputError(f"found {where!r} with --from host, expected nothing", "this machine needs no address")
    if way != "ssh" and (config or port):
        raise BadInputError(f"found --config or --port with --from {way}, expected them with ssh alone")
    found: dict[str, str | int] = {"target": way}
    if way == "ssh":
        user, at, host = str(where).rpartition("@")
        found |= {"host": host} | ({"user": user} if at else {})
        found |= ({"port": port} if port else {}) | ({"config": str(config.resolve())} if config else {})
    elif where:
        found["serial"] = where
    _checked(found)
    return There(way, found)


def _checked(reach: Mapping[str, Any]) -> None:
    from pydantic import ValidationError

    from edgekd.reach import Reach

    try:
        Reach.model_validate(reach)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        raise BadInputError(f"{first['loc'][0]}: found {first['input']!r}: {message}") from None


def read_off(device: There) -> dict[str, str]:
    """What the device says, by the names of SCRIPT's parts.

    Raises:
        BadInputError: a program is missing here, or it isn't said which phone is meant.
        StageError: nobody answers.

    """
    return parts(_here() if device.way == "host" else _from(device))


def parts(text: str) -> dict[str, str]:
    r"""Take apart what SCRIPT printed.

    >>> parts("\n@@machine\naarch64\n\n@@board\n\n")
    {'machine': 'aarch64', 'board': ''}
    """
    found = re.findall(r"^@@([\w.]+)\n(.*?)(?=^@@|\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: value.strip() for name, value in found}


def _here() -> str:
    done = subprocess.run(["sh", "-c", SCRIPT], capture_output=True, check=False)
    return done.stdout.decode(errors="replace")


def _from(device: There) -> str:
    """Over a connection of the kind that measures: its folder there is removed again."""
    from contextlib import closing

    from edgekd.reach import Reach
    from edgekd.targets import adb, ssh
    from edgekd.targets.connection import Connection, program

    reach = Reach.model_validate(device.reach)
    connection: Connection
    if device.way == "ssh":
        connection, folder = ssh.Ssh(reach, program("ssh", "openssh-client")), ssh.FOLDER
    else:
        connection, folder = adb.connect(reach.serial), adb.FOLDER
    connection.open(folder)
    with closing(connection):
        return connection.run(SCRIPT).text
