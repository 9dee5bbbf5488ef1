"""Scripts: what is run on another machine beside the guard of the session's folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from shlex import quote

from edgekd.profile.rules import Plan
from edgekd.targets.connection import Connection

# Where it can't be noted, on a full device, what was started is ended: the guard couldn't.
NOTE = (
    "echo {0} >> pids || {{ kill -9 $busy $ran 2>/dev/null; "
    'echo "can\'t note in $PWD what runs: the disk may be full" >&2; exit 1; }}'
)


def counting(connection: Connection) -> str:
    """A script that counts the sessions whose folders lie beside this one's; what dead ones left was removed before."""
    parent = quote(str(PurePosixPath(connection.folder).parent))
    each = f'for f in {parent}/edgekd.??????/guard; do [ -f "$f" ] && n=$((n + 1)); done'
    return f'n=0; {each}; echo "sessions=$n"'


def others(text: str) -> int:
    """How many of them are not this one."""
    found = re.search(r"^sessions=(\d+)$", text, re.MULTILINE)
    return max(0, int(found[1]) - 1) if found else 0


def in_folder(connection: Connection, command: str, plan: Plan) -> str:
    """A script that runs ``command`` in the folder, beside busy cores, under a limit; the guard knows what to kill."""
    lines = [f"cd {quote(connection.folder)} || exit 1", NOTE.format("$$")]
    lines += ['( while :; do :; done ) & busy="$busy $!"; ' + NOTE.format("$!")] * plan.load
    if plan.memory_limit_bytes is not None:
        lines.append(f"ulimit -v {plan.memory_limit_bytes // 1024} || exit 1")
    lines += [f"( exec {command} ) &", "ran=$!", NOTE.format("$ran"), "wait $ran", "code=$?"]
    lines += ['[ -z "$busy" ] || kill -9 $busy 2>/dev/null', ": > pids", "exit $code"]
    return "\n".join(lines)
