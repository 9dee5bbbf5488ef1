"""edgekd devices new: a device file from what a device tells; what it doesn't tell stays unknown."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Phone, phone, sshd

from edgekd import device
from edgekd.cli import run
from edgekd.errors import EXIT_STAGE, EXIT_USAGE, BadInputError
from edgekd.starting import device_facts, device_file, device_reading
from edgekd.starting.device_reading import There

CORE = """processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp{more}
CPU implementer\t: {maker}
CPU architecture: 8
CPU part\t: {part}

"""
# Written by hand after what Linux prints on the two; nothing was captured from such a device.
BOARD = f"""
@@machine
aarch64
@@kernel
Linux 6.6.31+rpt-rpi-2712
@@cpuinfo
{"".join(CORE.format(number=number, maker="0x41", part="0xd0b", more="") for number in range(4))}
@@memory
MemTotal:        8245696 kB
@@cores
0|2400000|0x00000000414fd0b1
1|2400000|0x00000000414fd0b1
2|2400000|
3|2400000|
@@board
Raspberry Pi 5 Model B Rev 1.0
@@compatible
raspberrypi,5-model-b
brcm,bcm2712
@@product
@@release
"Debian GNU/Linux 12 (bookworm)"
@@battery
"""
# Two cores sleep: they stand in sysfs alone.
PHONE = f"""
@@machine
aarch64
@@cpuinfo
{CORE.format(number=0, maker="0x41", part="0xd46", more=" i8mm sve2")}
{CORE.format(number=1, maker="0x41", part="0xd4d", more=" i8mm sve2")}
@@memory
MemTotal:        7753192 kB
@@cores
0|1704000|
1|2367000|
2|2367000|0x00000000411fd4d0
3|2914000|0x00000000411fd4e0
@@release
@@battery
4575000
@@ro.product.manufacturer
Google
@@ro.product.model
Pixel 8
@@ro.soc.manufacturer
Google
@@ro.soc.model
Tensor G3
@@ro.build.version.release
14
@@ro.build.version.sdk
34
"""


def made(tmp_path: Path, text: str, there: There | None = None) -> device.Device:
    content = device_file.text(
        "mine", there or There("adb", {"target": "adb"}), device_reading.parts(text), {}, "today"
    )
    (tmp_path / "mine.toml").write_text(content, encoding="utf-8")
    return device.load(str(tmp_path / "mine.toml"))


def clusters(one: device.Device) -> list[tuple[str, int, float]]:
    assert one.facts.clusters is not None
    return [(each.core, each.count, each.clock) for each in one.facts.clusters.value]


def test_a_board_tells_its_cores_and_has_no_battery(tmp_path: Path) -> None:
    one = made(tmp_path, BOARD, There("ssh", {"target": "ssh", "host": "board.local"}))
    assert (one.title, one.arch) == ("Raspberry Pi 5 Model B Rev 1.0", "arm64")
    assert clusters(one) == [("Cortex-A76", 4, 2.4e9)]
    facts = one.facts
    assert facts.soc is not None
    assert facts.isa is not None
    assert facts.ram is not None
    assert facts.os is not None
    assert (facts.soc.value, facts.isa.value) == ("brcm,bcm2712", ("dotprod", "fp16"))
    assert facts.ram.value == pytest.approx(8245696 * 1024, rel=1e-3)
    assert facts.os.value == "Debian GNU/Linux 12 (bookworm), Linux 6.6.31+rpt-rpi-2712"
    assert (facts.battery, facts.memory_bandwidth, facts.power) == (None, None, None)
    assert facts.soc.source == "read off the device over ssh, today: /proc/device-tree/compatible"


def test_a_phone_tells_of_cores_that_sleep_and_of_its_battery(tmp_path: Path) -> None:
    one = made(tmp_path, PHONE)
    assert one.title == "Google Pixel 8"
    assert clusters(one) == [("Cortex-X3", 1, 2.914e9), ("Cortex-A715", 2, 2.367e9), ("Cortex-A510", 1, 1.704e9)]
    assert one.facts.isa is not None
    assert one.facts.isa.value == ("dotprod", "fp16", "i8mm", "sve2")
    assert one.facts.battery is not None
    assert one.facts.battery.value == "4575 mAh"
    assert one.facts.os is not None
    assert one.facts.os.value == "Android 14 (API 34)"


@pytest.mark.parametrize(
    ("old", "new", "fact", "why"),
    [
        ("0|2400000|", "0||", "clusters", "doesn't tell its cores' highest clocks: 4x Cortex-A76"),
        ("0|2400000|", "0|1|", "clusters", "doesn't tell its cores' highest clocks"),
        ("processor\t: 2\n", "", "clusters", "doesn't name all of its cores: 3x Cortex-A76, 1x unnamed"),
        ("Features", "Fewtures", "isa", "/proc/cpuinfo has no flags"),
        ("MemTotal", "MemFree", "ram", "/proc/meminfo doesn't tell it"),
    ],
)
def test_what_is_not_told_stays_unknown_and_the_file_says_why(
    old: str, new: str, fact: str, why: str, tmp_path: Path
) -> None:
    assert old in BOARD
    one = made(tmp_path, BOARD.replace(old, new))
    assert getattr(one.facts, fact) is None
    before, _, _ = one.path.read_text().partition(f"# [facts.{fact}]")
    assert why in before.splitlines()[-1]


def test_a_core_with_other_numbers_is_named_by_them(tmp_path: Path) -> None:
    one = made(tmp_path, BOARD.replace("0xd0b", "0xd99"))
    assert clusters(one) == [("Arm part 0x41:0xd99", 4, 2.4e9)]


def test_the_examples_in_a_file_are_right_once_they_are_uncommented(tmp_path: Path) -> None:
    one = made(tmp_path, "@@machine\naarch64\n")
    assert not one.facts.model_dump(exclude_none=True)
    text = one.path.read_text()
    header, _, examples = text.partition("[reach]")
    examples = re.sub(r"^# (?!Unknown|A build)", "", examples, flags=re.MULTILINE)
    one.path.write_text(f"{header}[reach]{examples}")
    loaded = device.load(str(one.path))
    assert set(loaded.facts.model_dump(exclude_none=True)) == set(device.Facts.model_fields)
    assert {limit.metric for limit in loaded.limits} >= {"quality", "latency_p95"}


@pytest.mark.parametrize("said", ['"]\nowned = 1\n', "\\", 'a "b" \\u0000', "\x1b[31m\x7f", "'''", "ü 電"])
def test_nothing_that_a_device_says_gets_out_of_its_string(said: str, tmp_path: Path) -> None:
    one = made(tmp_path, PHONE.replace("Pixel 8", said).replace("Tensor G3", said))
    assert one.title.isprintable()
    assert set(tomllib.loads(one.path.read_text())) == {"title", "arch", "runtimes", "threads", "reach", "facts"}


@pytest.mark.parametrize("machine", ["armv7l", "riscv64", ""])
def test_another_architecture_is_refused(machine: str) -> None:
    with pytest.raises(BadInputError, match=rf"calls itself '{machine}' \(uname -m\), expected one of aarch64"):
        device_facts.arch_of({"machine": machine})


@pytest.fixture
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_here")
def test_this_machine_is_written_and_shown_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    budget = ["--budget", "latency_p95 < 50 ms", "--budget", "quality>=90 % of teacher"]
    assert run(["devices", "new", "mine", "--from", "host", *budget]) == 0
    out = capsys.readouterr().out
    assert out.startswith("wrote devices/mine.toml: ")
    assert "read off this machine" in " ".join(out.split())
    one = device.load("mine")
    assert [limit.text for limit in one.limits] == ["latency_p95 < 50.0 ms", "quality >= 90.0 % of teacher"]
    assert one.facts.ram is not None
    assert one.facts.power is None
    assert run(["devices", "show", "mine"]) == 0
    capsys.readouterr()
    written = Path("devices/mine.toml").read_bytes()
    assert run(["devices", "new", "mine", "--from", "host"]) == EXIT_USAGE
    assert "found a device file, which is not overwritten" in capsys.readouterr().err
    assert Path("devices/mine.toml").read_bytes() == written
    assert run(["devices", "new", "mine", "--from", "host", "--force"]) == 0
    assert "next: give it a budget" in capsys.readouterr().out
    assert [path.name for path in Path("devices").iterdir()] == ["mine.toml"]


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["../mine", "--from", "host"], "found the name '../mine', expected letters"),
        (["mine.toml", "--from", "host"], "without .toml"),
        (["mine", "--from", "ssh"], "found --from ssh without a host"),
        (["mine", "-oProxyCommand=x", "--from", "ssh"], "No such option"),
        (["mine", "--from", "ssh", "--", "-oProxyCommand=x"], "host: found '-oProxyCommand=x': expected a name"),
        (["mine", "pi@", "--from", "ssh"], "host: found '': expected a name"),
        (["mine", "x", "--from", "host"], "found 'x' with --from host"),
        (["mine", "--from", "adb", "--port", "1"], "found --config or --port with --from adb"),
        (["mine", "--from", "host", "--budget", "speed < 1"], "--budget: found the metric 'speed'"),
        (["mine", "--from", "host", "--budget", "latency_p95"], "--budget: found 'latency_p95'"),
        (["mine", "--from", "host", "--budget", "latency_p95 < 50"], "found no unit in '50'"),
    ],
)
def test_bad_arguments_are_refused_and_write_nothing(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["devices", "new", *arguments]) == EXIT_USAGE
    assert said in capsys.readouterr().err
    assert not Path("devices").exists()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with sshd(tmp_path_factory.mktemp("sshd")) as path:
        yield path


@pytest.mark.system
@pytest.mark.usefixtures("_here")
def test_a_machine_behind_ssh_is_read_off_and_reached_again(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "new", "board", "board", "--from", "ssh", "--config", str(config)]) == 0
    assert "read off the device over ssh" in " ".join(capsys.readouterr().out.split())
    one = device.load("board")
    assert one.reach is not None
    assert (one.reach.target, one.reach.host, one.reach.config) == ("ssh", "board", str(config))
    here = device_reading.read_off(There("host", {"target": "host"}))
    assert one.facts.ram is not None
    assert one.facts.ram.value == pytest.approx(int(here["memory"].split()[1]) * 1024, rel=1e-3)


@pytest.mark.system
@pytest.mark.usefixtures("_here")
def test_nobody_answers_and_nothing_is_written(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--from", "ssh", "--config", str(config), "--port", "1"]
    assert run(["devices", "new", "board", "nobody@board", *arguments]) == EXIT_STAGE
    assert "can't begin a session" in capsys.readouterr().err
    assert not Path("devices").exists()


@pytest.fixture(scope="module")
def attached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    with phone(tmp_path_factory.mktemp("phone")) as one:
        yield one


@pytest.mark.system
@pytest.mark.usefixtures("_here")
def test_what_is_behind_adb_is_read_off(
    attached: Phone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in attached.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("edgekd.targets.adb.FOLDER", str(Path.cwd()))
    assert run(["devices", "new", "phone", attached.serial, "--from", "adb"]) == 0
    assert "wrote devices/phone.toml: A recorded phone" in capsys.readouterr().out
    one = device.load("phone")
    assert one.reach is not None
    assert (one.reach.target, one.reach.serial) == ("adb", attached.serial)
    assert one.facts.os is not None
    assert one.facts.os.value == "Android 14"
    assert [path.name for path in Path().iterdir()] == ["devices"]
    assert run(["devices", "new", "other", "no-such", "--from", "adb"]) == EXIT_USAGE
    assert "expected 'no-such'" in capsys.readouterr().err
