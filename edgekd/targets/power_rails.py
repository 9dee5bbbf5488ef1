"""Power rails: energy of an Android phone by the meters on its board, through perfetto; a Pixel 6 and later has them.

``perfetto`` is on every phone since Android 9; its data source android.power gives counters of energy since the start
of the phone, which stand behind the battery, so that a cable doesn't disturb them. The rails differ by phone: all are
summed. Never tried on a phone: a program that writes such a trace, by perfetto's own schema, stands in its place.
Sources: perfetto.dev/docs/data-sources/battery-counters; protos/perfetto/trace/power/power_rails.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from shlex import quote
from typing import Any

import numpy as np

from edgekd.algorithms.energy import Power, Values, from_counters
from edgekd.profile.measurement import Measurement
from edgekd.targets import remote_energy
from edgekd.targets.connection import ANSWER_S, Connection

POLL_MS = 100  # the shortest that the data source takes
MOST_S = 120.0  # a trace ends by itself if nobody ends it
LEAST_READINGS = 5
NO_RAILS = "the phone tells no power rails (a Pixel 6 or later does)"
CONFIG = f"""\
buffers {{ size_kb: 4096 fill_policy: RING_BUFFER }}
data_sources {{ config {{ name: "android.power"
  android_power_config {{ battery_poll_ms: {POLL_MS} collect_power_rails: true }} }} }}
duration_ms: {int(MOST_S * 1000)}
"""
Rails = Mapping[str, tuple[Values, Values]]  # by name: seconds since the start of the phone, joules since then


@dataclass(frozen=True, slots=True)
class Trace:
    """The rails while a command ran, from ``begin_s`` to ``end_s`` on the same clock."""

    rails: Rails
    begin_s: float
    end_s: float

    def power(self) -> Power:
        """Of all rails together."""
        return from_counters(self.rails, self.begin_s, self.end_s)

    def largest(self, count: int = 5) -> str:
        """The rails that draw most."""
        watts = {name: from_counters({name: rail}, self.begin_s, self.end_s).watts for name, rail in self.rails.items()}
        most = sorted(watts, key=lambda name: watts[name], reverse=True)[:count]
        return ", ".join(f"{name} {watts[name]:.3g} W" for name in most)

    @property
    def readings(self) -> int:
        """Of the rail that was read least."""
        inside = [(times_s >= self.begin_s) & (times_s <= self.end_s) for times_s, _ in self.rails.values()]
        return min((int(each.sum()) for each in inside), default=0)


def measure(connection: Connection, command: str, own: Measurement, took_s: float) -> Measurement:
    """Energy of one inference, which takes ``took_s``, in J: in place of ``own``, which has none; or why not."""
    rest = at_rest(connection, remote_energy.REST_S)
    if isinstance(rest, str):
        return replace(own, unavailable=rest)
    running = _trace(connection, command, remote_energy.patience_s(took_s))
    if running.readings < LEAST_READINGS:
        return replace(own, unavailable=NO_RAILS)
    told = {
        "scope": f"the sum of {len(running.rails)} power rails of the phone, by perfetto",
        "rails_that_draw_most": running.largest(),
    }
    return remote_energy.judged(own, running.power(), rest.power(), took_s, told)


def at_rest(connection: Connection, seconds: float) -> Trace | str:
    """The rails while nothing runs, or why there are none."""
    if find_spec("perfetto") is None:
        return "power rails need the package 'perfetto': pip install 'edgekd[devices]'"
    if connection.run("command -v perfetto").code != 0:
        return "the phone has no perfetto, which would tell its power rails"
    found = _trace(connection, f"sleep {seconds:g}", ANSWER_S + seconds)
    return found if found.readings >= LEAST_READINGS else NO_RAILS


def read(content: bytes) -> Rails:
    """The rails in a trace.

    A rail is named once, at the beginning; one without a name is called by its number.
    """
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2

    names: dict[int, str] = {}
    found: dict[int, list[tuple[float, float]]] = {}
    trace: Any = perfetto_trace_pb2.Trace.FromString(content)
    for packet in trace.packet:
        if not packet.HasField("power_rails"):
            continue
        names |= {each.index: each.rail_name for each in packet.power_rails.rail_descriptor}
        for each in packet.power_rails.energy_data:
            found.setdefault(each.index, []).append((each.timestamp_ms / 1e3, each.energy / 1e6))
    return {names.get(index, f"rail {index}"): _sorted(pairs) for index, pairs in found.items()}


def _sorted(pairs: list[tuple[float, float]]) -> tuple[Values, Values]:
    """Each reading once: the meters tell the same one again until they have another."""
    values = np.array(sorted(set(pairs)), dtype=np.float64)
    return values[:, 0], values[:, 1]


def _trace(connection: Connection, command: str, wait_s: float) -> Trace:
    """Trace while ``command`` runs. perfetto may write to a pipe alone, not to the session's folder."""
    start = "echo $$ >>pids; echo $$ >perfetto.pid; exec perfetto --txt -c - -o -"
    script = (
        f"cd {quote(connection.folder)} || exit 1\nrm -f perfetto.pid\n"
        f"( printf '%s' {quote(CONFIG)} | sh -c {quote(start)} 2>/dev/null | cat >trace.pftrace ) & traced=$!\n"
        "sleep 0.5; read -r begin rest </proc/uptime\n"
        f"( exec {command} ) >/dev/null 2>&1 & ran=$!; echo $ran >>pids; wait $ran\n"
        "read -r end rest </proc/uptime; sleep 0.5\n"
        "kill -TERM $(cat perfetto.pid); wait $traced; : >pids\n"
        'echo "$begin $end"; cat trace.pftrace'
    )
    head, _, content = connection.run(script, wait_s=wait_s).output.partition(b"\n")
    begin, end = (float(word) for word in head.split())
    return during(_parsed(content), begin, end)


def during(rails: Rails, begin_s: float, end_s: float) -> Trace:
    """The rails from one moment to another, for as much of it as all were read: perfetto takes a while to begin."""
    begin_s = max([begin_s, *(times_s[0] for times_s, _ in rails.values())])
    end_s = min([end_s, *(times_s[-1] for times_s, _ in rails.values())])
    return Trace(rails, begin_s, end_s) if begin_s < end_s else Trace({}, begin_s, end_s)


def _parsed(content: bytes) -> Rails:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return read(content)
    except DecodeError:  # perfetto said something else, or was cut off
        return {}
