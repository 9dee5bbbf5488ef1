"""Which target a device has, and what every one of them offers."""

from pathlib import Path

import pytest
from adders import write_onnx

from edgekd import device, targets
from edgekd.errors import BadInputError
from edgekd.profile.measurement import Provenance
from edgekd.profile.rules import Plan
from edgekd.targets import predicted

DEVICES = Path(__file__).parents[2] / "devices"
BOARD = """\
title = "A board"
arch = "arm64"
runtimes = ["onnxruntime", "tflite"]

[facts.clusters]
value = [{ core = "Cortex-A76", count = 4, clock = "2.4 GHz" }]
source = "the box"

[reach]
"""


def board(tmp_path: Path, reach: str) -> device.Device:
    (tmp_path / "board.toml").write_text(BOARD + reach)
    return device.load(str(tmp_path / "board.toml"))


def test_a_device_without_reach_is_this_machine_or_predicted() -> None:
    host, phone = (device.load(str(DEVICES / f"{name}.toml")) for name in ("host", "pixel8"))
    assert (targets.name_of(host), targets.is_measured(host)) == ("host", True)
    assert (targets.name_of(phone), targets.is_measured(phone)) == ("predicted", False)
    assert targets.identity(phone) == targets.identity(host)  # which is measured in its place


def test_this_machine_can_be_the_device_that_a_file_describes(tmp_path: Path, rows: Path) -> None:
    here = board(tmp_path, 'target = "host"')
    subject = targets.Subject("mine", write_onnx(tmp_path / "m.onnx"), "onnxruntime", rows)
    with targets.measuring(here) as session:
        found = session.measure(subject, Plan(min_runs=16, min_seconds=0))
    assert {one.provenance for one in found} == {Provenance.ON_DEVICE}
    assert targets.identity(here) != targets.identity(device.load(str(DEVICES / "host.toml")))  # nothing is reused


def test_a_prediction_is_a_session_like_the_others(tmp_path: Path, rows: Path) -> None:
    there = board(tmp_path, 'target = "predicted"')
    model = write_onnx(tmp_path / "m.onnx", batch=1)
    with targets.target_of(there).prepare(there) as session:
        found = session.measure(targets.Subject("mine", model, "onnxruntime", rows), Plan())
    assert found == predicted.predict(
        predicted.RUNTIMES["onnxruntime"].describe(model), there, "mine", model.stat().st_size
    )
    assert {one.metric for one in found} == {"latency", "peak_memory", "energy"}


def test_an_unknown_target_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"board\.toml: found the target 'hosts' in \[reach\]") as caught:
        targets.name_of(board(tmp_path, 'target = "hosts"'))
    assert "'host'" in caught.value.hint


@pytest.mark.parametrize(
    ("reach", "message"),
    [
        ('target = "ssh"\nhost = "-oProxyCommand=true"', "reach.host: found '-oProxyCommand=true': expected a name"),
        ('target = "ssh"\nhost = "a b"', "reach.host: found 'a b': expected a name"),
        ('target = "ssh"\nhost = "a"\nuser = "-l"', "reach.user: found '-l': expected a name"),
        ('target = "adb"\nserial = "a\\nb"', "reach.serial: found 'a\\nb': expected a name"),
        ('target = "ssh"\nport = 70000', "reach.port: found 70000"),
        ('target = "ssh"\nhots = "a"', "found the unknown key 'reach.hots'"),
        ('target = "ssh"\n[reach.energy]\nunit = "W"', "expected either file or command"),
    ],
)
def test_a_reach_that_cannot_be_meant_is_refused_with_its_line(reach: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as caught:
        board(tmp_path, reach)
    assert message in caught.value.message.replace("\\\\n", "\\n")
    assert "board.toml:" in caught.value.message
