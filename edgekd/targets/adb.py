"""Measure on an Android phone over adb, by edgekd's own runner: pushed, run, and removed again.

``adb`` is the user's own, with its server (ANDROID_ADB_SERVER_PORT is honoured). The runner has never been tried on a
phone: it was tested against a real adbd on Linux, and its arm64 build in an emulator.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote

from edgekd.device import Device
from edgekd.errors import BadInputError, StageError
from edgekd.profile.conditions import UNKNOWN
from edgekd.profile.measurement import Measurement
from edgekd.reach import EnergySource
from edgekd.targets import power_rails
from edgekd.targets.base import Ability, Session
from edgekd.targets.connection import ANSWER_S, Connection, last_lines, program
from edgekd.targets.remote import RemoteSession

FOLDER = "/data/local/tmp"
PUSH_S = 300.0
BATTERY = "/sys/class/power_supply/battery"
# Microvolts and microamperes; drivers don't agree on the sign of the latter. Where the shell may not read the files,
# the battery's service is asked, which on newer phones knows the current too.
POWER = (
    f"v=$(cat {BATTERY}/voltage_now 2>/dev/null) || "
    "v=$(dumpsys battery | sed -n 's/^ *voltage: \\([0-9]*\\)$/\\1000/p'); "
    f"i=$(cat {BATTERY}/current_now 2>/dev/null) || i=$(cmd battery get current_now 2>/dev/null); "
    '[ -n "$v" ] && [ -n "$i" ] && echo $((v / 1000 * ${i#-} / 1000))'
)
# What isn't there says nothing, and is unknown then.
ASK = """
say() { printf '%s=%s\\n' "$1" "$(eval "$2" 2>/dev/null | head -n 1)"; }
say model 'getprop ro.product.model'
say build 'getprop ro.build.fingerprint'
say android 'getprop ro.build.version.release'
say battery_percent "dumpsys battery | sed -n 's/^ *level: //p'"
say battery_status "dumpsys battery | sed -n 's/^ *status: //p'"
say battery_powered "dumpsys battery | sed -n 's/^ *\\([A-Za-z]*\\) powered: true/\\1/p'"
say battery_decicelsius "dumpsys battery | sed -n 's/^ *temperature: //p'"
say thermal_status "dumpsys thermalservice | sed -n 's/^Thermal Status: //p'"
say airplane_mode 'settings get global airplane_mode_on'
say screen "dumpsys power | sed -n 's/^ *mWakefulness=//p'"
"""
FIXED = ("model", "build", "android")
CHARGING = {"2": "yes", "3": "no", "4": "no", "5": "full"}  # BatteryManager.BATTERY_STATUS_*


def prepare(device: Device) -> Session:
    """Connect to the phone of [reach], or to the only one that is attached."""
    program("adb", "adb")  # what is missing here comes first
    reach = device.reach
    if reach is not None and (reach.host or reach.user or reach.port):
        raise BadInputError(
            f"{device.path}: found a host, user or port in [reach], which adb has no use for",
            "adb connect HOST:PORT by hand, then serial = 'HOST:PORT'",
        )
    return AdbSession(connect(reach.serial if reach else None), device, (reach.folder if reach else None) or FOLDER)


def connect(serial: str | None) -> Adb:
    """The way to the phone ``serial``, to that of ANDROID_SERIAL, or to the only one that is attached."""
    adb = program("adb", "adb")
    return Adb(adb, choose(_attached(adb), serial or os.environ.get("ANDROID_SERIAL")))


def choose(attached: Mapping[str, str], wanted: str | None) -> str:
    """The serial to use, of those that are attached with their states.

    >>> choose({"emulator-5554": "device"}, None)
    'emulator-5554'

    Raises:
        BadInputError: none, several and none chosen, or one that lets nobody in.
        StageError: the one is offline.

    """
    listed = ", ".join(f"{serial} ({state})" for serial, state in attached.items()) or "none"
    if wanted is None and len(attached) != 1:
        raise BadInputError(
            f"adb: found the devices {listed}, expected one, or a choice",
            "attach one with USB debugging on"
            if not attached
            else "name one: serial = '…' in [reach], or ANDROID_SERIAL",
        )
    serial = next(iter(attached)) if wanted is None else wanted
    state = attached.get(serial)
    if state is None:
        raise BadInputError(f"adb: found the devices {listed}, expected {serial!r}", "see: adb devices")
    if state == "unauthorized":
        raise BadInputError(
            f"adb: found {serial}, which doesn't trust this machine", "unlock its screen, and allow USB debugging there"
        )
    if state.startswith("no permissions"):
        raise BadInputError(f"adb: found {serial}, which this user can't open", "see: adb devices, and its udev rules")
    if state != "device":
        raise StageError(f"adb: found {serial} in the state {state!r}, expected 'device'", "attach it anew")
    return serial


class Adb(Connection):
    """Commands through the adb server."""

    def __init__(self, adb: str, serial: str) -> None:
        super().__init__(serial)
        self._base = [adb, "-s", serial]

    def command(self) -> list[str]:
        """Without a terminal: samples are bytes."""
        return [*self._base, "shell", "-T", "exec sh"]

    def push(self, files: dict[str, Path]) -> None:
        """One file after another; adb's own protocol, no shell reads the names."""
        for name, path in files.items():
            command = [*self._base, "push", str(path.resolve()), f"{self.folder}/{name}"]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False, timeout=PUSH_S, start_new_session=True
                )
            except subprocess.TimeoutExpired as error:
                raise StageError(f"{self.name}: {name} was not copied within {PUSH_S:.0f} s") from error
            if done.returncode != 0:
                reason = last_lines(done.stderr + done.stdout)
                raise StageError(
                    f"{self.name}: {name} could not be copied to {self.folder}: {reason}", "see: adb shell df /data"
                )
        self.run(f"cd {quote(self.folder)} && chmod 700 runner own_runner ld-linux* 2>/dev/null; :")

    def advice(self, reason: str) -> str:
        """What to look at."""
        del reason
        return f"see whether it is there: adb -s {self.name} shell true"


class AdbSession(RemoteSession):
    """A phone also tells of its battery, its heat and its screen."""

    def fixed(self) -> Mapping[str, str]:
        """Model and system."""
        return {"serial": self._connection.name, **{name: self._asked()[name] for name in FIXED}}

    def conditions(self) -> Mapping[str, str]:
        """What can change between sessions."""
        said = self._asked()
        heat = said.pop("battery_decicelsius")
        said["battery_celsius"] = f"{int(heat) / 10:.1f}" if heat.isdigit() else UNKNOWN
        said["charging"] = CHARGING.get(said.pop("battery_status"), UNKNOWN)
        return {name: value for name, value in said.items() if name not in FIXED}

    def power(self) -> tuple[EnergySource | None, str]:
        """The battery's counters, unless it is being charged: then they tell the charger's current."""
        named, why = super().power()
        if named is not None:
            return named, why
        said = self.conditions()
        if said["charging"] != "no" or said["battery_powered"] != UNKNOWN:
            return None, f"the battery's counters tell the draw only off the charger (charging: {said['charging']})"
        return EnergySource(command=("sh", "-c", POWER), unit="uW"), ""

    def meter(self) -> Ability:
        """What the device file names, else the phone's power rails, else its battery."""
        other = super().meter()
        if super().power()[0] is not None:
            return other
        rails = power_rails.at_rest(self._connection, 1.0)
        if isinstance(rails, str):
            return replace(other, text=other.text if other.works else f"{rails}; {other.text}")
        text = (
            f"{rails.power().watts:.3g} W at the moment, by {len(rails.rails)} power rails; most by {rails.largest(2)}"
        )
        return Ability("energy", works=True, text=text)

    def energy(self, command: str, own: Measurement, took_s: float) -> Measurement:
        """By what the device file names, else by the phone's power rails, else by its battery."""
        if own.values or super().power()[0] is not None:
            return super().energy(command, own, took_s)
        by_rails = power_rails.measure(self._connection, command, own, took_s)
        if by_rails.values or "power_running_w" in by_rails.conditions:  # measured, if only to be no more than at rest
            return by_rails
        by_battery = super().energy(command, own, took_s)
        reasons = f"{by_rails.unavailable}; {by_battery.unavailable}"
        return by_battery if by_battery.values else replace(by_battery, unavailable=reasons)

    def _asked(self) -> dict[str, str]:
        found = self._connection.run(ASK).text
        return {name: value or UNKNOWN for name, value in re.findall(r"^(\w+)=(.*)$", found, re.MULTILINE)}


def _attached(adb: str) -> dict[str, str]:
    """Serials and states; the server is started if there is none."""
    try:
        done = subprocess.run(
            [adb, "devices"], capture_output=True, text=True, check=False, timeout=ANSWER_S, start_new_session=True
        )
    except subprocess.TimeoutExpired as error:
        raise StageError("adb: its server doesn't answer", "adb kill-server, then again") from error
    if done.returncode != 0:
        raise StageError(f"adb: can't list devices: {last_lines(done.stderr)}", "adb kill-server, then again")
    return dict(re.findall(r"^(\S+)\t(.+)$", done.stdout, re.MULTILINE))
