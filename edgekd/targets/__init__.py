"""Where figures are taken: on a device, on this machine, or by a prediction. A module each, and one line here."""

from importlib import import_module
from typing import cast

from edgekd.device import Device
from edgekd.errors import BadInputError, nearest
from edgekd.targets.base import IncompleteError, Session, Subject, Target

__all__ = [
    "TARGETS",
    "IncompleteError",
    "Session",
    "Subject",
    "Target",
    "identity",
    "is_measured",
    "measuring",
    "name_of",
    "target_of",
]

# Imported when used: a target may need packages that others don't.
TARGETS = {
    "host": "edgekd.targets.host",
    "adb": "edgekd.targets.adb",
    "ssh": "edgekd.targets.ssh",
    "browser": "edgekd.targets.browser",
    "predicted": "edgekd.targets.predicted",
}


def name_of(device: Device) -> str:
    """By which target ``device`` is judged: the one of its [reach], else this machine for 'host', else a prediction.

    Raises:
        BadInputError: [reach] names another one.

    """
    if device.reach is None:
        return "host" if device.is_host else "predicted"
    if device.reach.target not in TARGETS:
        raise BadInputError(
            f"{device.path}: found the target {device.reach.target!r} in [reach]",
            nearest(device.reach.target, TARGETS),
        )
    return device.reach.target


def is_measured(device: Device) -> bool:
    """Whether the device itself is measured, and not this machine in its place."""
    return name_of(device) != "predicted"


def target_of(device: Device) -> Target:
    """The module of the device's target."""
    return cast("Target", import_module(TARGETS[name_of(device)]))


def measuring(device: Device) -> Session:
    """A session on the device; on this machine where it is only predicted, as something to compare with."""
    target = name_of(device) if is_measured(device) else "host"
    return cast("Target", import_module(TARGETS[target])).prepare(device)


def identity(device: Device) -> str:
    """What names the place where ``device`` is measured, asked once a process."""
    if not is_measured(device) or device.reach is None:
        with measuring(device) as session:
            return session.identity
    key = f"{device.path}\n{device.reach.model_dump_json()}"
    if key not in _IDENTITIES:
        with measuring(device) as session:
            _IDENTITIES[key] = session.identity
    return _IDENTITIES[key]


_IDENTITIES: dict[str, str] = {}  # of devices that must be called up to be asked
