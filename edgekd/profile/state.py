"""State: what a device's processor is doing at the moment, read by one shell script on any Linux or Android."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgekd.profile.conditions import UNKNOWN

CPU = "/sys/devices/system/cpu"
# Only what every shell has, and cat. A file that isn't there gives no line.
SCRIPT = f"""
say() {{ [ -r "$2" ] && echo "$1=$(cat "$2" 2>/dev/null)"; }}
say governor {CPU}/cpu0/cpufreq/scaling_governor
for f in {CPU}/cpu[0-9]*/cpufreq/scaling_cur_freq; do say clock_khz "$f"; done
for f in {CPU}/cpu[0-9]*/thermal_throttle/core_throttle_count; do say throttled "$f"; done
for f in /sys/class/thermal/thermal_zone*/temp; do say millidegrees "$f"; done
say load /proc/loadavg
:
"""


def read(text: str) -> Mapping[str, str]:
    r"""What SCRIPT printed, as conditions: governor, fastest clock, hottest sensor, load, times the clock was lowered.

    >>> read("governor=ondemand\nclock_khz=1800000\nclock_khz=2400000\nmillidegrees=51250\nload=0.52 0.3 0.1 1/9 7\n")[
    ...     "clock_mhz"
    ... ]
    '2400'
    """
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value.strip())
    clocks, heat, lowered = (_numbers(found.get(name, ())) for name in ("clock_khz", "millidegrees", "throttled"))
    return {
        "governor": found.get("governor", [UNKNOWN])[0] or UNKNOWN,
        "clock_mhz": f"{max(clocks) / 1000:.0f}" if clocks else UNKNOWN,
        "temperature_celsius": f"{max(heat) / 1000:.0f}" if heat else UNKNOWN,
        "load_average_1min": (found.get("load") or [UNKNOWN])[0].partition(" ")[0],
        "throttle_events": f"{sum(lowered):.0f}" if lowered else UNKNOWN,
    }


def after(before: Mapping[str, str], now: Mapping[str, str]) -> Mapping[str, str]:
    """What changed during a session: clock and temperature at its end, how often the clock was lowered."""
    counts = before["throttle_events"], now["throttle_events"]
    return {
        "clock_mhz_after": now["clock_mhz"],
        "temperature_celsius_after": now["temperature_celsius"],
        "throttled": UNKNOWN if UNKNOWN in counts else str(int(counts[1]) - int(counts[0])),
    }


def _numbers(texts: list[str] | tuple[()]) -> list[float]:
    return [float(text) for text in texts if re.fullmatch(r"-?\d+", text)]
