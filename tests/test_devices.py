"""Every shipped device file loads, says where its facts come from and has a budget with a quality floor."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from edgekd.cli import run
from edgekd.device import Device, load
from edgekd.errors import BadInputError
from edgekd.targets.latency_model import isa_class_of, shipped

FOLDER = Path(__file__).parents[1] / "devices"
FILES = sorted(FOLDER.glob("*.toml"))
EXPECTED = {
    *(
        "coral-dev-board",
        "desktop-browser",
        "galaxy-s21",
        "galaxy-s22",
        "galaxy-s23",
        "galaxy-s24",
        "host",
        "iphone-15",
        "iphone-xs",
    ),
    *("jetson-orin-nano", "pixel3", "pixel4", "pixel6", "pixel8", "pixel8pro", "pixel9"),
    *("raspberrypi4", "raspberrypi5", "redmi-note-11"),
}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def device(request: pytest.FixtureRequest) -> Device:
    return load(str(request.param))


def test_the_devices_are_there() -> None:
    assert {path.stem for path in FILES} >= EXPECTED


def test_every_fact_has_a_source(device: Device) -> None:
    facts = tomllib.loads(device.path.read_text(encoding="utf-8")).get("facts", {})
    assert all(fact.get("source", "").strip() for fact in facts.values())
    assert set(facts) == {name for name in type(device.facts).model_fields if getattr(device.facts, name)}


def test_every_budget_has_a_quality_floor(device: Device) -> None:
    (floor,) = [limit for limit in device.limits if limit.metric == "quality"]
    assert (floor.operator, floor.value, floor.relative_to) == (">=", 0.94, "teacher")
    assert re.fullmatch(rf"{re.escape(str(device.path))}:\d+", floor.origin)


def test_an_energy_limit_needs_a_power_figure(device: Device) -> None:
    has_limit = any(limit.metric == "energy" for limit in device.limits)
    assert has_limit == (device.facts.power is not None)


def test_every_core_belongs_to_a_fitted_class(device: Device) -> None:
    classes = {each.isa_class for each in shipped().precisions["int8"].classes}
    clusters = device.facts.clusters.value if device.facts.clusters else ()
    assert {isa_class_of(cluster, device) for cluster in clusters} <= classes


def test_this_machine_states_no_facts() -> None:
    host = load(str(FOLDER / "host.toml"))
    assert host.is_host
    assert not host.facts.model_dump(exclude_none=True)


def test_a_carried_over_power_figure_names_its_chip() -> None:
    power = load(str(FOLDER / "pixel8.toml")).facts.power
    assert power is not None
    assert power.carried_over_from == "Google Tensor G1 (Pixel 6)"


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ('source = "geerlingguy/sbc-reviews #60"\n', r"facts\.power\.source"),
        ('source = "hrw/arm-socs-table data/socs.yml@7adad61"\n', r"facts\.isa\.source"),
    ],
)
def test_a_fact_without_a_source_is_refused_with_its_line(tmp_path: Path, remove: str, message: str) -> None:
    text = (FOLDER / "raspberrypi5.toml").read_text(encoding="utf-8")
    assert remove in text
    path = tmp_path / "copy.toml"
    path.write_text(text.replace(remove, ""), encoding="utf-8")
    header = f"[{message.rsplit('.', 1)[0][:-1].replace(chr(92), '')}]"
    line = text.splitlines().index(header) + 1
    with pytest.raises(BadInputError, match=rf"copy\.toml:{line}: .*{message}"):
        load(str(path))


def test_a_blank_source_is_refused(tmp_path: Path) -> None:
    text = (FOLDER / "raspberrypi5.toml").read_text(encoding="utf-8")
    path = tmp_path / "copy.toml"
    path.write_text(text.replace('"geerlingguy/sbc-reviews #60"', '" "'), encoding="utf-8")
    with pytest.raises(BadInputError, match=r"copy\.toml:\d+: facts\.power\.source: .*where this fact comes from"):
        load(str(path))


def test_a_fact_without_a_unit_is_refused(tmp_path: Path) -> None:
    text = (FOLDER / "raspberrypi5.toml").read_text(encoding="utf-8")
    path = tmp_path / "copy.toml"
    path.write_text(text.replace('"17.1 GB/s"', '"17.1"'), encoding="utf-8")
    with pytest.raises(BadInputError, match=r"copy\.toml:\d+: .*memory_bandwidth.*unit"):
        load(str(path))


def test_the_published_schema_is_current_and_takes_every_device_file() -> None:
    root = Path(__file__).parents[1]
    check = [sys.executable, root / "scripts" / "make_device_schema.py", "--check"]
    subprocess.run(check, check=True, env={**os.environ, "PYTHONPATH": str(root)})
    schema = json.loads((root / "docs" / "device.schema.json").read_text(encoding="utf-8"))
    for path in FOLDER.glob("*.toml"):
        jsonschema.validate(tomllib.loads(path.read_text(encoding="utf-8")), schema)
    with pytest.raises(jsonschema.ValidationError, match="'source' is a required property"):
        jsonschema.validate({"facts": {"soc": {"value": "Tensor"}}}, schema)


def test_all_that_is_known_is_shown_in_80_columns(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["devices", "show", str(device.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80 and str(device.path) not in line] == []
    shown = " ".join(" ".join(lines).split())
    sources = (fact.source for fact in dict(device.facts).values() if fact is not None)
    assert all(" ".join(source.split()) in shown for source in sources)
    assert "how well its latency is known" in lines


def test_a_reader_may_go_away_after_the_first_line() -> None:
    shown = f"{sys.executable} -m edgekd devices show pixel8 | head -1; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, check=False, cwd=FOLDER.parent)
    assert ran.stdout.startswith("pixel8: Google Pixel 8 (")
    assert (ran.returncode in (0, 141), ran.stderr) == (True, "")
