"""The samples in JavaScript (Node and a real browser) and C++, as an app developer runs them."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import handbundle
import numpy as np
import pytest
from handbundle import LABELS
from PIL import Image
from workshop import Built

pytestmark = pytest.mark.system
Ran = subprocess.CompletedProcess[str]
Run = Callable[..., Ran]
GOLDEN = Path("golden/golden.json")


def start(*command: object) -> Ran:
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False, cwd="/")


def node(bundle: Path, *arguments: object) -> Ran:
    return start("node", bundle / "samples/javascript/node.mjs", *arguments)


@dataclass(frozen=True)
class Program:
    """The C++ sample, for any bundle."""

    path: Path

    def __call__(self, bundle: Path, *arguments: object) -> Ran:
        return start(self.path, bundle, *arguments)


@pytest.fixture(params=["node", "cpp"])
def run(request: pytest.FixtureRequest) -> Run:
    return node if request.param == "node" else Program(request.getfixturevalue("cpp"))


@contextmanager
def page(bundle: Path) -> Iterator[Any]:
    """The bundle's page in headless Chromium, when it has checked the golden vectors."""
    from playwright.sync_api import sync_playwright

    serve = ["node", bundle / "samples/javascript/serve.mjs", "0"]
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        try:
            shown = browser.new_page()
            shown.goto(address)
            shown.wait_for_selector("body[data-result]")
            yield shown
        finally:
            browser.close()
            server.terminate()


def test_checks_image_models(run: Run, images: Path) -> None:
    ran = run(images)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.findall(r"^(.+?): ok: 16 golden vectors", ran.stdout, re.MULTILINE) == ["model.onnx", "float.onnx"]


def test_checks_the_model_of_a_build(run: Run, built: Built, modules: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(built.workshop.folder / built.run_folder / "bundle", tmp_path / "bundle")
    (bundle / "samples/javascript/node_modules").symlink_to(modules)
    ran = run(bundle)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "model.onnx: ok: 16 golden vectors" in ran.stdout
    assert "model.tflite: not run: " in ran.stdout


def test_checks_a_text_model(run: Run, texts: Path) -> None:
    ran = run(texts)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "model.onnx: ok: 16 golden vectors" in ran.stdout


def test_node_gives_a_text_the_vector_that_python_gives_it(texts: Path) -> None:
    text = "a CAT sat, on ä mat — sitting and running, zz " * 3  # more tokens than the model takes
    found = re.findall(r"-?\d\.\d+", node(texts, text).stdout.split("values,")[1])
    assert np.allclose([float(each) for each in found], python(texts).vector(text)[: len(found)], atol=1e-4)


def test_answers_for_an_image_of_another_size_as_python_does(run: Run, images: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(9).integers(0, 256, (31, 50, 3)).astype(np.uint8)
    pixels[10:14] = 255
    Image.fromarray(pixels).save(tmp_path / "a photo, 1.png")
    found = run(images, tmp_path / "a photo, 1.png").stdout.strip().removeprefix(f"{tmp_path}/a photo, 1.png: ")
    wanted = python(images).shares((tmp_path / "a photo, 1.png").read_bytes())
    best = LABELS[int(np.argmax(wanted))]
    assert found.startswith(best)
    share = float(re.findall(r" ([\d.]+)", found.removeprefix(best))[0])
    assert share / (100 if "%" in found else 1) == pytest.approx(wanted.max(), abs=0.01)  # INT8, from pixels 1 apart


@dataclass(frozen=True)
class Python:
    """The bundle's Python sample."""

    bundle: Any
    module: Any

    def vector(self, text: str) -> Any:
        return self._output(text.encode())

    def shares(self, raw: bytes) -> Any:
        return self.module.softmax(self._output(raw) / self.bundle.manifest["postprocessing"]["temperature"])

    def _output(self, raw: bytes) -> Any:
        model = self.bundle.manifest["models"][0]
        run = self.module.onnx(str(self.bundle.root / model["file"]), model)
        return self.module.real(run(self.bundle.prepare(raw, model))[0], model["outputs"][0]).ravel()


def python(root: Path) -> Python:
    spec = importlib.util.spec_from_file_location("edgekd_sample", root / "samples/python/edgekd_sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with patch.object(sys, "dont_write_bytecode", True):  # the bundle is to stay as it was summed
        spec.loader.exec_module(module)
    return Python(module.Bundle(root), module)


@pytest.fixture
def copied(images: Path, tmp_path: Path) -> Path:
    return shutil.copytree(images, tmp_path / "bündle, copied", symlinks=True)


def change(path: Path, edit: Callable[[Any], None]) -> None:
    facts = json.loads(path.read_text())
    edit(facts)
    path.write_text(json.dumps(facts))


def swap(bundle: Path) -> None:
    """The float model as the INT8 one, with the size and digest that manifest.json then should have."""

    def edit(facts: Any) -> None:
        facts["models"][0] |= {key: facts["models"][1][key] for key in ("sha256", "size_bytes")}

    shutil.copy(bundle / "float.onnx", bundle / "model.onnx")
    change(bundle / "manifest.json", edit)
    change(bundle / GOLDEN, lambda index: index["tolerances"]["model.onnx"][0].update(max_abs=1e-4))


def another_mean(bundle: Path) -> None:
    change(bundle / "manifest.json", lambda facts: facts["preprocessing"].update(mean=[0, 0, 0]))


def not_a_number(bundle: Path) -> None:
    (bundle / "golden/tensors/001-model-out.bin").write_bytes(np.full(3, np.nan, "<f4").tobytes())


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda bundle: shutil.copy(bundle / "float.onnx", bundle / "model.onnx"), "not the file of which"),
        (swap, "golden vector "),
        (another_mean, "golden vector 0: input pixels: prepared here"),
        (not_a_number, "golden vector 1: "),
        (lambda bundle: (bundle / "golden/tensors/003-model-out.bin").unlink(), "003-model-out.bin"),
        (lambda bundle: (bundle / "golden/raw/003.png").unlink(), "003.png"),
    ],
)
def test_fails_where_files_do_not_fit(run: Run, copied: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(copied)
    ran = run(copied)
    line = next(line for line in ran.stdout.splitlines() if line.startswith("model.onnx"))
    assert (ran.returncode, "FAILED" in line, said in line) == (1, True, True), ran.stdout + ran.stderr


def test_the_commands_of_the_readme(cpp: Path, images: Path) -> None:
    assert cpp == images / "build/edgekd_sample"
    for command in (*handbundle.commands("JavaScript")[1:3], *handbundle.commands("C++")[2:]):  # page() runs the server
        ran = subprocess.run(command.split(), capture_output=True, text=True, check=False, cwd=images)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_npm_installs_for_tests_what_it_installs_for_users(images: Path) -> None:
    used = json.loads((Path(__file__).parent / "node/package.json").read_text())["dependencies"]
    wanted = json.loads((images / "samples/javascript/package.json").read_text())["dependencies"]
    assert wanted.items() < used.items()


def test_no_index_is_an_error(run: Run, copied: Path) -> None:
    (copied / GOLDEN).unlink()
    ran = run(copied)
    assert (ran.returncode, "golden.json" in ran.stderr) == (1, True), ran.stdout + ran.stderr


def test_takes_10_000_labels(run: Run, copied: Path) -> None:
    labels = [f'class {number}, "{chr(0x1F600 + number % 80)}"' for number in range(10_000)]
    (copied / "labels.json").write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")
    assert 'class 1, "😁"' in run(copied, copied / "golden/raw/001.png").stdout


def test_a_browser_checks_images_and_answers(images: Path) -> None:
    with page(images) as shown:
        assert shown.get_attribute("body", "data-result") == "ok", shown.inner_text("#checks")
        assert shown.inner_text("#checks").count(": ok: 16 golden vectors") == 2
        assert shown.evaluate("crossOriginIsolated")
        shown.set_input_files("#file", images / "golden/raw/001.png")
        shown.wait_for_function("document.querySelector('#answer').textContent")
        assert LABELS[1] in shown.inner_text("#answer")
        shown.set_input_files("#file", images / "labels.json")
        shown.wait_for_function("document.querySelector('#answer').textContent.startsWith('error: ')")


def test_a_browser_checks_texts(texts: Path) -> None:
    with page(texts) as shown:
        assert shown.get_attribute("body", "data-result") == "ok", shown.inner_text("#checks")


def test_a_browser_notices_a_swapped_model(copied: Path) -> None:
    swap(copied)
    with page(copied) as shown:
        assert shown.get_attribute("body", "data-result") == "failed"
        assert "model.onnx: FAILED: golden vector " in shown.inner_text("#checks")


def test_the_server_serves_nothing_but_the_bundle(texts: Path) -> None:
    with page(texts) as shown:
        host = shown.evaluate("location.host")
        for place in ("/../../etc/passwd", "/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd", "/samples", "/%zz"):
            with closing(HTTPConnection(host)) as connection:
                connection.request("GET", place)  # as it stands: nothing is normalised
                assert (place, connection.getresponse().status) == (place, 404)


def test_kotlin_compiles_against_what_android_and_litert_declare(kotlinc: Path, images: Path, tmp_path: Path) -> None:
    declared = Path(__file__).parent / "kotlin"
    ran = start("bash", kotlinc, "-Werror", "-d", tmp_path / "classes", declared, images / "samples/kotlin")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    made = {path.stem for path in (tmp_path / "classes/edgekd/sample").glob("*.class")}
    assert {"EdgekdModel", "EdgekdGoldenTest"} <= made
