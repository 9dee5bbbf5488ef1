"""Energy of an Android phone: by its power rails in a trace of perfetto, else by its battery, else a reason."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from boards import SHORT, by_metric, install, standin, subject, write_device
from daemons import DUMPSYS, Phone, phone
from perfetto.protos.perfetto.trace import perfetto_trace_pb2

from edgekd import targets
from edgekd.profile.measurement import Measurement, Provenance
from edgekd.reach import EnergySource
from edgekd.targets import power_rails, remote_energy
from edgekd.targets.connection import LostError, words
from edgekd.targets.local import Local

NONE = Measurement(artifact="mine", metric="energy", unit="J", provenance=Provenance.ON_DEVICE, unavailable="not yet")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    """This machine's shell, with a folder of tools before all others on its PATH."""
    monkeypatch.setattr(remote_energy, "REST_S", 1.0)
    (tmp_path / "tools").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
    (tmp_path / "there it's").mkdir()
    connection = Local("here")
    connection.open(str(tmp_path / "there it's"))
    yield connection
    connection.close()


def test_a_trace_is_read_rail_by_rail() -> None:
    trace = perfetto_trace_pb2.Trace()
    trace.packet.add().timestamp = 5  # of another kind
    named = trace.packet.add().power_rails.rail_descriptor.add()
    named.index, named.rail_name = 1, "S2M_VDD_CPUCL2"
    for index, milliseconds, energy in ((1, 2000, 30), (1, 1000, 10), (4, 1000, 7), (1, 2000, 30)):
        data = trace.packet.add().power_rails.energy_data.add()
        data.index, data.timestamp_ms, data.energy = index, milliseconds, energy
    found = power_rails.read(trace.SerializeToString())
    assert {name: (times.tolist(), joules.tolist()) for name, (times, joules) in found.items()} == {
        "S2M_VDD_CPUCL2": ([1.0, 2.0], [1e-5, 3e-5]),
        "rail 4": ([1.0], [7e-6]),
    }


def test_a_trace_counts_for_as_long_as_all_rails_were_read() -> None:
    early, late = np.arange(0.0, 10.0, 0.5), np.arange(4.0, 8.1, 0.5)
    found = power_rails.during({"CPU": (early, 2 * early), "GPU": (late, 3 * late)}, 1.0, 9.0)
    assert (found.begin_s, found.end_s, found.readings) == (4.0, 8.0, 9)
    assert found.power().watts == pytest.approx(5.0)
    assert found.largest(1) == "GPU 3 W"
    assert power_rails.during({"CPU": (early, early)}, 20.0, 30.0).readings == 0


def test_rails_tell_the_energy_above_rest(here: Local, tmp_path: Path) -> None:
    standin(tmp_path / "tools" / "perfetto", "perfetto")
    command = words(["sh", "-c", "echo > ran; sleep 2; rm ran"])
    found = power_rails.measure(here, command, NONE, 0.1)
    (joules,) = found.values
    assert 0.05 < joules < 0.4  # 2 W for 0.1 s; a trace is only as exact as a busy machine lets it be written
    conditions = found.conditions
    rest_w, running_w = (float(conditions[name]) for name in ("power_at_rest_w", "power_running_w"))
    assert rest_w == pytest.approx(1.5, rel=0.05)
    assert joules == pytest.approx((running_w - rest_w) * 0.1, rel=0.01)
    assert float(conditions["energy_with_rest_j"]) == pytest.approx(running_w * 0.1, rel=0.01)
    assert conditions["scope"] == "the sum of 2 power rails of the phone, by perfetto"
    assert conditions["rails_that_draw_most"].startswith("S2M_VDD_CPUCL2 ")
    assert float(conditions["readings_per_second"]) > 0
    assert float(conditions["integrated_seconds"]) > 0.5
    assert float(conditions["standard_error_j"]) >= 0


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is waited for is short, but for the inferences themselves."""
    monkeypatch.setattr(remote_energy, "ANSWER_S", 1.5)
    monkeypatch.setattr(remote_energy, "MIN_S", 0.01)
    monkeypatch.setattr(remote_energy, "REST_S", 0.1)
    monkeypatch.setattr(remote_energy, "PAUSE_S", 0.01)
    monkeypatch.setattr(remote_energy, "LEAST_READINGS", 2)


def test_a_slow_model_is_waited_for(here: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run for energy takes as long as its inferences do, however long that is."""
    impatient(monkeypatch)
    source = EnergySource(command=("echo", "5"), unit="W")
    with pytest.raises(LostError):
        remote_energy.measure(here, "sleep 4", source, NONE, 0.001)
    assert "power_running_w" in remote_energy.measure(here, "sleep 4", source, NONE, 1.0).conditions


def test_a_slow_models_rails_are_waited_for(here: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    monkeypatch.setattr(remote_energy, "REST_S", 1.0)
    standin(tmp_path / "tools" / "perfetto", "perfetto")
    with pytest.raises(LostError):
        power_rails.measure(here, "sleep 4", NONE, 0.001)
    found = power_rails.measure(here, "sleep 4", NONE, 1.0)
    assert found.values or "power_running_w" in found.conditions


@pytest.mark.parametrize(
    ("script", "reason"),
    [("cat >/dev/null; exec sleep 600", power_rails.NO_RAILS), ("cat; echo no such source >&2", power_rails.NO_RAILS)],
)
def test_a_phone_without_rails_says_so(script: str, reason: str, here: Local, tmp_path: Path) -> None:
    install(tmp_path / "tools" / "perfetto", script)
    assert power_rails.measure(here, "true", NONE, 0.1).unavailable == reason


def test_a_device_without_perfetto_says_so(here: Local) -> None:
    assert "has no perfetto" in power_rails.measure(here, "true", NONE, 0.1).unavailable


@pytest.fixture(scope="module")
def attached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    with phone(tmp_path_factory.mktemp("phone")) as one, pytest.MonkeyPatch.context() as patch:
        for name, value in one.environment.items():
            patch.setenv(name, value)
        yield one


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_energy, "REST_S", 1.0)
    monkeypatch.setattr(remote_energy, "PAUSE_S", 0.01)
    monkeypatch.setattr(remote_energy, "LEAST_READINGS", 4)
    monkeypatch.setattr("edgekd.targets.runners.MIN_S", 1.5)


def energy(tmp_path: Path) -> Measurement:
    there = tmp_path / "there it's"
    there.mkdir(exist_ok=True)
    one = write_device(tmp_path / "phone.toml", target="adb", folder=str(there), python=sys.executable)
    with targets.measuring(one) as session:
        found = by_metric(session.measure(subject(tmp_path), SHORT))["energy"]
    assert list(there.iterdir()) == []
    return found


@pytest.mark.system
@pytest.mark.usefixtures("quick")
def test_a_phone_on_its_cable_is_metered_by_rails_else_by_nothing(tmp_path: Path, attached: Phone) -> None:
    without = energy(tmp_path)
    assert "has no perfetto" in without.unavailable
    assert "only off the charger (charging: yes)" in without.unavailable
    standin(attached.tools / "perfetto", "perfetto")
    found = energy(tmp_path)
    assert "power rails" in found.conditions["scope"]
    assert float(found.conditions["power_at_rest_w"]) == pytest.approx(1.5, rel=0.05)
    assert float(found.conditions["power_running_w"]) == pytest.approx(1.5, rel=0.05)  # nobody wrote 'ran'
    (attached.tools / "perfetto").unlink()


@pytest.mark.system
@pytest.mark.usefixtures("quick")
def test_a_phone_off_its_cable_is_metered_by_its_battery(tmp_path: Path, attached: Phone) -> None:
    """4 V by what dumpsys tells; 0.75 A while the run for energy lasts, 0.25 A else."""
    off = DUMPSYS.replace("USB powered: true", "USB powered: false\\n  voltage: 4000").replace("status: 2", "status: 3")
    (attached.tools / "dumpsys").write_text(off)
    install(attached.tools / "cmd", 'pgrep -f "child.py energy[.]json" >/dev/null && echo -750000 || echo -250000')
    found = energy(tmp_path)
    (attached.tools / "dumpsys").write_text(DUMPSYS)
    assert found.values, found.unavailable
    assert float(found.conditions["power_at_rest_w"]) == 1.0
    assert 1.0 < float(found.conditions["power_running_w"]) <= 3.0
