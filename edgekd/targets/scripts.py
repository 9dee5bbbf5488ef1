"""Scripts: what is run on another machine beside the guard of the session's folder."""

from __future__ import annotations

from shlex import quote

from edgekd.profile.rules import Plan
from edgekd.targets.connection import Connection


def in_folder(connection: Connection, command: str, plan: Plan) -> str:
    """A script that runs ``command`` in the folder, beside busy cores, under a limit; the guard knows what to kill."""
    lines = [f"cd {quote(connection.folder)} || exit 1", "echo $$ >> pids"]
    lines += ['( while :; do :; done ) & echo $! >> pids; busy="$busy $!"'] * plan.load
    if plan.memory_limit_bytes is not None:
        lines.append(f"ulimit -v {plan.memory_limit_bytes // 1024} || exit 1")
    lines += [f"( exec {command} ) &", "ran=$!", "echo $ran >> pids", "wait $ran", "code=$?"]
    lines += ['[ -z "$busy" ] || kill -9 $busy 2>/dev/null', ": > pids", "exit $code"]
    return "\n".join(lines)
