import doctest
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from edgekd.profile import conditions
from edgekd.profile.conditions import UNKNOWN, cpu_model, host_conditions, host_fingerprint, isa_flags


def test_worked_examples() -> None:
    found = doctest.testmod(conditions)
    assert found.failed == 0
    assert found.attempted >= 3


def test_conditions_are_text_and_name_versions_and_threads() -> None:
    found = host_conditions(threads=3)
    assert all(isinstance(value, str) and value for value in found.values())
    assert found["threads"] == "3"
    assert found["numpy"] == version("numpy")
    assert found["onnxruntime"] == version("onnxruntime")
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(found) >= {"cpu", "isa", "physical_cores", "governor", "load_average_1min", "temperature_celsius"}
    assert found["physical_cores"] == UNKNOWN or int(found["physical_cores"]) >= 1
    assert re.fullmatch(r"\d+\.\d\d", found["load_average_1min"])


def test_what_the_system_does_not_say_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "GOVERNOR", tmp_path / "none")
    monkeypatch.setattr("psutil.sensors_temperatures", dict, raising=False)
    monkeypatch.setattr(conditions, "RUNTIMES", ("edgekd-no-such-package",))
    found = host_conditions()
    assert (found["governor"], found["temperature_celsius"]) == (UNKNOWN, UNKNOWN)
    assert found["edgekd-no-such-package"] == "not installed"


def test_governor_and_hottest_sensor_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reading:
        def __init__(self, current: float) -> None:
            self.current = current

    (tmp_path / "governor").write_text("performance\n")
    monkeypatch.setattr(conditions, "GOVERNOR", tmp_path / "governor")
    sensors = {"core": [Reading(41.0), Reading(63.4)], "disk": [Reading(0.0)]}
    monkeypatch.setattr("psutil.sensors_temperatures", lambda: sensors, raising=False)
    found = host_conditions()
    assert (found["governor"], found["temperature_celsius"]) == ("performance", "63")


def test_isa_needs_every_core() -> None:
    arm = "Features\t: fp asimd asimddp\nCPU part\t: 0xd05\n\nFeatures\t: fp asimd asimddp i8mm sve2\n"
    assert isa_flags(arm) == ("asimddp",)
    assert isa_flags("") == ()
    assert isa_flags("flags\t\t: sse avx512_vnni avx2 amx_int8\n") == ("avx2", "avx512_vnni", "amx_int8")


def test_cpu_without_a_description_is_still_named() -> None:
    assert cpu_model("") != ""


def test_fingerprint_is_the_same_in_another_process_and_ignores_the_present_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from edgekd.profile.conditions import host_fingerprint; print(host_fingerprint())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == host_fingerprint()
    before = host_fingerprint()
    (tmp_path / "governor").write_text("powersave")
    monkeypatch.setattr(conditions, "GOVERNOR", tmp_path / "governor")
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 99.0, 99.0))
    assert host_fingerprint() == before


def test_fingerprint_changes_with_the_processor_and_with_a_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = host_fingerprint()
    (tmp_path / "cpuinfo").write_text("model name\t: Another CPU\nflags\t: avx2\n")
    with monkeypatch.context() as patch:
        patch.setattr(conditions, "CPUINFO", tmp_path / "cpuinfo")
        assert host_fingerprint() != before
        assert "Another CPU" in host_fingerprint()
    monkeypatch.setattr(conditions, "version", lambda _: "0.0.1")
    assert host_fingerprint() != before
