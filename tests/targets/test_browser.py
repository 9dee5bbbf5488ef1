"""The target browser, as far as no browser runs: what is refused, what is served, and how outputs are compared."""

from __future__ import annotations

import json
import os
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import onnx
import pytest
from adders import write_onnx
from onnx import numpy_helper

from edgekd import device, targets
from edgekd.cli import run
from edgekd.errors import BadInputError, StageError
from edgekd.profile.rules import Plan
from edgekd.targets import Subject, browser, browser_outputs, browser_packages, browser_page, browser_server

ROOT = Path(__file__).parents[2]
NODE = ROOT / "tests" / "system" / "node"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Packages that say their versions, and nothing else."""
    folder = tmp_path / "node modules"
    for engine in browser_packages.ENGINES.values():
        (folder / engine.package).mkdir(parents=True)
        (folder / engine.package / "package.json").write_text('{"version": "1.2.3"}')
    return folder


@pytest.fixture
def chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only program on the PATH."""
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / "chromium"
    path.write_text("#!/bin/sh\necho Chromium 156.0.8078.79 built on Debian\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent))
    browser_page.version.cache_clear()
    return path


def desktop(tmp_path: Path, reach: str = "") -> device.Device:
    (tmp_path / "mine.toml").write_text(f'like = "desktop-browser"\n[reach]\ntarget = "browser"\n{reach}\n')
    return device.load(str(tmp_path / "mine.toml"))


@pytest.fixture
def session(tmp_path: Path, packages: Path, chromium: Path) -> targets.Session:
    del chromium
    return targets.measuring(desktop(tmp_path, f'packages = "{packages.name}"'))


def test_the_device_is_measured_in_a_browser() -> None:
    one = device.load("desktop-browser")
    assert (targets.name_of(one), targets.is_measured(one), one.is_host) == ("browser", True, False)


def test_what_was_measured_is_named_by_processor_browser_and_packages(session: targets.Session) -> None:
    assert session.identity.endswith("browser: Chromium 156.0.8078.79; onnxruntime-web: 1.2.3; @litertjs/core: 1.2.3")
    assert session.identity.startswith("cpu: ")


def test_a_machine_without_a_browser_is_told_what_installs_one(tmp_path: Path, packages: Path, chromium: Path) -> None:
    chromium.unlink()
    with pytest.raises(BadInputError, match=r"found no chromium, .* on the PATH") as caught:
        targets.measuring(desktop(tmp_path, f'packages = "{packages}"'))
    assert caught.value.hint == "on Debian: apt-get install chromium"


@pytest.mark.parametrize(
    ("script", "message"),
    [("#!/bin/sh\necho something else\n", "found 'something else', expected Chromium"), ("no program", "started")],
)
def test_a_program_that_is_no_chromium_is_refused(
    script: str, message: str, tmp_path: Path, packages: Path, chromium: Path
) -> None:
    chromium.write_text(script)
    with pytest.raises(StageError, match=message):
        targets.measuring(desktop(tmp_path, f'packages = "{packages}"'))


def test_a_browser_that_does_not_start_is_reported_with_its_words(
    session: targets.Session, chromium: Path, tmp_path: Path, rows: Path
) -> None:
    chromium.write_text("#!/bin/sh\necho no display, no sandbox >&2\nexit 1\n")
    with pytest.raises(StageError, match=r"chromium: can't be started: no display, no sandbox$"):
        session.measure(Subject("a", write_onnx(tmp_path / "m.onnx"), "onnxruntime", rows), Plan())


def test_missing_packages_are_named_with_both_ways_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BadInputError, match=r"found no onnxruntime-web in .*cache/edgekd/browser/") as caught:
        targets.measuring(desktop(tmp_path))
    assert "edgekd devices setup mine; or npm install @litertjs/core@" in caught.value.hint
    (tmp_path / "some" / "onnxruntime-web").mkdir(parents=True)
    (tmp_path / "some" / "onnxruntime-web" / "package.json").touch()
    with pytest.raises(BadInputError, match=r"found no @litertjs/core in .*/some of \[reach\]"):
        targets.measuring(desktop(tmp_path, 'packages = "some"'))


def test_nothing_is_fetched_where_reach_names_packages(packages: Path, tmp_path: Path) -> None:
    assert browser.set_up(desktop(tmp_path, f'packages = "{packages}"')).endswith(str(packages))


def test_setting_up_needs_npm_and_a_device_that_needs_it(
    tmp_path: Path, chromium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    desktop(tmp_path)
    assert run(["devices", "setup", "mine.toml"]) == 3
    assert "hint: apt-get install npm" in capsys.readouterr().err
    npm = chromium.with_name("npm")
    npm.write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    npm.chmod(0o755)
    assert run(["devices", "setup", "mine.toml"]) == 3
    assert "npm can't fetch @litertjs/core@" in (said := capsys.readouterr().err)
    assert "no network" in said
    assert not list((tmp_path / "cache/edgekd/browser").iterdir())
    assert run(["devices", "setup", "pixel8"]) == 2
    assert "found the target 'predicted', for which nothing is fetched" in capsys.readouterr().err


def test_two_that_set_up_at_once_share_what_was_there_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    target = browser_packages.kept()
    npm = tmp_path / "npm"
    both = f"mkdir -p node_modules '{target}'; echo later >node_modules/who; echo first >'{target}/who'"
    npm.write_text(f"#!/bin/sh\n{both}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert browser_packages.set_up() == target
    assert (target / "who").read_text() == "first\n"
    assert [path.name for path in target.parent.parent.iterdir()] == [target.parent.name]


def test_the_tests_run_the_packages_that_are_fetched() -> None:
    ours, tested = (json.loads((at / "package.json").read_text()) for at in (browser_server.PAGE, NODE))
    assert ours["dependencies"].items() <= tested["dependencies"].items()
    ours, tested = (json.loads((at / "package-lock.json").read_text()) for at in (browser_server.PAGE, NODE))
    assert ours["packages"].keys() <= tested["packages"].keys() | {""}
    for name, each in ours["packages"].items():
        assert name == "" or each["integrity"] == tested["packages"][name]["integrity"]


def test_pages_are_served_with_what_isolates_them(packages: Path) -> None:
    with browser_server.served(packages, {"/model": b"\0model"}) as address:
        connection = HTTPConnection(urlsplit(address).netloc)
        kinds = {}
        for path in ("/", "/measuring.mjs", "/model", "/packages/onnxruntime-web/package.json"):
            connection.request("GET", path)
            answer = connection.getresponse()
            kinds[path] = answer.getheader("Content-Type"), answer.read()
            assert answer.status == 200
            assert answer.getheader("Cross-Origin-Opener-Policy") == "same-origin"
            assert answer.getheader("Cross-Origin-Embedder-Policy") == "require-corp"
        connection.request("GET", "/packages/../mine.toml")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (404, b"")
        connection.close()
    assert (kinds["/"][0], kinds["/measuring.mjs"][0]) == ("text/html", "text/javascript")
    assert kinds["/model"][1] == b"\0model"


@pytest.mark.parametrize("path", ["/../base.py", "//etc/hostname", "/packages//etc/hostname", "/packages/../a", "/x"])
def test_nothing_outside_is_served(path: str, packages: Path) -> None:
    (packages.parent / "a").touch()
    assert browser_server.content_of(path, packages, {}) is None


def test_what_a_page_cannot_do_is_refused_before_one_is_opened(
    session: targets.Session, tmp_path: Path, rows: Path
) -> None:
    model = write_onnx(tmp_path / "m.onnx")
    with pytest.raises(BadInputError, match="--memory-limit with a browser"):
        session.measure(Subject("a", model, "onnxruntime", rows), Plan(memory_limit_bytes=10**9))
    loaded = onnx.load(model)
    loaded.graph.initializer.append(numpy_helper.from_array(np.ones(400, np.float32), "w"))
    onnx.save(loaded, tmp_path / "out.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(BadInputError, match=r"found weights in weights\.bin, expected all of them in the file"):
        session.measure(Subject("a", tmp_path / "out.onnx", "onnxruntime", rows), Plan())
    with pytest.raises(BadInputError, match=r"none\.onnx: found no file"):
        session.measure(Subject("a", tmp_path / "none.onnx", "onnxruntime", rows), Plan())


def test_whole_numbers_that_litert_does_not_take_are_named(
    session: targets.Session, tmp_path: Path, rows: Path
) -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    from adders import write_tflite
    from flatbuffers import Builder

    path = write_tflite(tmp_path / "m.tflite")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    model.subgraphs[0].tensors[0].type = schema.TensorType.INT8
    builder = Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    with pytest.raises(
        BadInputError, match="found 'serving_default_x:0' of int8, expected one of float32, int32, uint8"
    ):
        session.measure(Subject("a", path, "tflite", rows), Plan())


def test_a_file_that_this_machine_cannot_run_is_refused_by_its_operator(
    session: targets.Session, tmp_path: Path, rows: Path
) -> None:
    model = onnx.load(write_onnx(tmp_path / "m.onnx"))
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(BadInputError, match="NoSuchOperator"):
        session.measure(Subject("a", tmp_path / "m.onnx", "onnxruntime", rows), Plan())


def test_all_rows_that_are_to_be_checked_are_compared(tmp_path: Path, rows: Path) -> None:
    model, all_rows = write_onnx(tmp_path / "m.onnx"), np.load(rows)
    np.savez(tmp_path / "checks.npz", **{f"{number}/x": all_rows[number : number + 1] for number in (0, 1, 2)})
    subject = Subject("a", model, "onnxruntime", rows, checks=tmp_path / "checks.npz")
    others = browser_outputs.checks(subject)
    assert [row[0].tolist() for row in others] == [all_rows[number : number + 1].tolist() for number in (0, 1, 2)]
    expected = browser_outputs.expected(subject, [all_rows[:1]], *others)
    assert expected.furthest({"y": all_rows[2:3]}, 3) == 0.0
    with pytest.raises(StageError, match=r"found the output 'y' \S+ off"):
        expected.furthest({"y": all_rows[1:2]}, 3)


def test_outputs_that_differ_are_refused_before_anything_is_timed(tmp_path: Path, rows: Path) -> None:
    model = write_onnx(tmp_path / "m.onnx")
    first = np.load(rows)[:1]
    expected = browser_outputs.expected(Subject("a", model, "onnxruntime", rows), [first])
    assert expected.furthest({"y": first}) == 0.0
    assert expected.furthest({"of a signature": first + np.float32(5e-5)}) == pytest.approx(5e-5, rel=0.1)
    for wrong in (first + np.float32(2e-4), first * np.float32(np.nan), first.astype(np.int32), first[0]):
        with pytest.raises(StageError, match=r"found the output 'y' \S+ off in the browser, expected at most 0\.0001"):
            expected.furthest({"y": wrong})
    with pytest.raises(StageError, match="'y' inf off"):
        expected.furthest({})
