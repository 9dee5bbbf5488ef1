"""Reach: the [reach] table of a device file: how this machine gets to the device to measure there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from edgekd.toml_file import Frozen


def _address(text: str) -> str:
    """Refuse what ssh or adb would take for an option, and what no host, user or serial contains."""
    if not text or text.startswith("-") or not text.isprintable() or any(letter.isspace() for letter in text):
        raise ValueError("expected a name that doesn't begin with '-' and has no spaces")
    return text


def _one_line(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("expected one line of text")
    return text


Address = Annotated[str, AfterValidator(_address)]
Text = Annotated[str, AfterValidator(_one_line)]


class EnergySource(Frozen):
    """Where the device tells what it draws just now: a file to read again and again, or a command to run.

    Both are on the device.
    """

    file: Text | None = None
    command: tuple[Text, ...] = ()
    unit: Literal["W", "mW", "uW"] = "uW"  # as hwmon's power1_input

    @model_validator(mode="after")
    def _one_of_both(self) -> EnergySource:
        if (self.file is None) == (not self.command):
            raise ValueError("expected either file or command")
        return self


class Reach(Frozen):
    """How to get to a device. Which keys are used depends on ``target``, and others are refused by it."""

    target: str
    serial: Address | None = None  # adb
    host: Address | None = None  # ssh
    user: Address | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    config: Text | None = None  # an ssh configuration in place of ~/.ssh/config
    runner: Text | None = None  # on this machine: a folder with edgekd's own runner, or a benchmark of the user's
    accelerator: Literal["cpu", "gpu", "nnapi", "xnnpack", "hexagon", "qnn", "webgpu"] = "cpu"
    python: Text = "python3"  # on the device
    packages: Text | None = None  # browser: a node_modules folder on this machine
    folder: Text | None = None  # on the device: where the session's own folder is made
    energy: EnergySource | None = None

    @model_validator(mode="after")
    def _asked_of_somebody(self) -> Reach:
        if self.accelerator != "cpu" and self.target in ("browser", "predicted"):
            raise ValueError("expected the target adb, ssh or host for an accelerator")
        return self
