"""Energy of another machine: its power, read again and again while a file runs, and while nothing does.

The run is one of its own, so that reading the power disturbs no latency; it lasts at least 10 s and 10 inferences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from shlex import quote

import numpy as np

from edgekd.algorithms.energy import Power, Values, from_readings, of_a_run
from edgekd.profile import child
from edgekd.profile.measurement import Measurement
from edgekd.reach import EnergySource
from edgekd.targets.connection import ANSWER_S, Connection, words
from edgekd.targets.scripts import NOTE

MIN_S, MIN_RUNS = 10.0, 10
REST_S = 5.0
PAUSE_S = 0.1
LEAST_READINGS = 20
INFERENCES = 1 + 2 * child.WARMUP_WINDOW + MIN_RUNS  # the first one, the shortest warm-up, the timed ones
WATTS = {"W": 1.0, "mW": 1e-3, "uW": 1e-6}
READING = re.compile(r"^at ([\d.]+)\n\s*([\d.eE+-]*\d)\s*$", re.MULTILINE)  # the clock of /proc/uptime, then the power


def measure(connection: Connection, command: str, source: EnergySource, own: Measurement, took_s: float) -> Measurement:
    """Energy of one inference, which takes ``took_s``, in J: in place of ``own``, which has none."""
    rest = _readings(connection, f"sleep {REST_S:g}", source, ANSWER_S + REST_S)
    loaded = _readings(connection, command, source, patience_s(took_s))
    if min(len(rest[0]), len(loaded[0])) < LEAST_READINGS:
        found = f"{len(loaded[0])} readings while running and {len(rest[0])} at rest"
        return replace(own, unavailable=f"the source of power gave {found}, expected {LEAST_READINGS} numbers of each")
    scope = "the whole device, by its power " + (source.file or words(source.command))
    return judged(own, from_readings(*loaded), from_readings(*rest), took_s, {"scope": scope})


def patience_s(took_s: float) -> float:
    """How long to wait for a run whose inferences take ``took_s`` each: three times what they should take, and more.

    >>> patience_s(0.01) < 200 < 27 * 20 < patience_s(20.0)
    True
    """
    return ANSWER_S + 10 * MIN_S + 3 * INFERENCES * took_s


def judged(own: Measurement, running: Power, rest: Power, took_s: float, told: Mapping[str, str]) -> Measurement:
    """The energy above rest; with rest, its error and how often power was read stand among the conditions."""
    found = of_a_run(running, rest, took_s)
    conditions = {
        **own.conditions,
        **told,
        "energy_with_rest_j": f"{found.with_rest_j:.4g}",
        "power_at_rest_w": f"{rest.watts:.4g}",
        "power_running_w": f"{running.watts:.4g}",
        "standard_error_j": f"{found.error_j:.2g}",
        "readings": str(running.readings),
        "readings_per_second": f"{running.hertz:.3g}",
        "integrated_seconds": f"{running.seconds:.3g}",
    }
    if found.net_j <= 0:
        return replace(own, unavailable="the device draws no more while running than at rest", conditions=conditions)
    return replace(own, values=(found.net_j,), unavailable="", conditions=conditions)


def _readings(connection: Connection, command: str, source: EnergySource, wait_s: float) -> tuple[Values, Values]:
    """Seconds and watts, read every tenth of a second while ``command`` runs there."""
    read = f"cat {quote(source.file)}" if source.file is not None else words(source.command)
    script = (
        f"cd {quote(connection.folder)} || exit 1\n"
        f"( exec {command} ) >/dev/null 2>&1 & ran=$!; {NOTE.format('$ran')}\n"
        'while kill -0 $ran 2>/dev/null; do read -r now rest </proc/uptime; echo "at $now"\n'
        f"{read}; sleep {PAUSE_S:g}; done\n: > pids"
    )
    found = READING.findall(connection.run(script, wait_s=wait_s).text)
    pairs = np.array(found, dtype=np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1] * WATTS[source.unit]
