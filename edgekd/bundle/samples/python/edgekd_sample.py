"""Run this bundle's models: alone it checks them by the golden vectors, with image files or texts it answers for those.

Needs numpy, onnxruntime for .onnx or ai-edge-litert for .tflite, Pillow for images, tokenizers for texts.
All that it knows of the models it reads from manifest.json. Exit code 0: all is as it must be; 1: it is not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Run = Callable[[Mapping[str, Array]], list[Array]]  # inputs by name -> outputs in the manifest's order
Facts = Mapping[str, Any]  # a part of manifest.json
BUNDLE = Path(__file__).resolve().parents[2]
STORED = {"float32": "<f4", "float16": "<f2", "int8": "|i1", "uint8": "|u1", "int32": "<i4", "int64": "<i8"}
PREPARED_WITHIN = {"f": 1e-5, "i1": 1, "u1": 1}  # in stored units: rounding of another compiler; token ids are exact


def main() -> int:
    """Check the bundle, or answer for what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="the folder with manifest.json")
    parser.add_argument("items", nargs="*", help="image files, or texts")
    given = parser.parse_args()
    try:
        bundle = Bundle(given.bundle)
        return bundle.answer(given.items) if given.items else bundle.check()
    except (OSError, ValueError, KeyError) as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


class Bundle:
    """A folder with manifest.json."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest: Facts = self._json("manifest.json")

    def check(self) -> int:
        """Run the golden vectors on every model that a runtime is here for; print a line for each."""
        golden = self._json(self.manifest["golden"]["index"])
        verdicts = [self._checked(model, golden) for model in self.manifest["models"]]
        for _, line in verdicts:
            print(line)
        ran = [good for good, _ in verdicts if good is not None]
        return 0 if ran and all(ran) else 1

    def answer(self, items: Sequence[str]) -> int:
        """Print what the first model that can run here says of each image file or text."""
        model, run = next(
            ((model, run) for model in self.manifest["models"] if (run := self._load(model))), (None, None)
        )
        if model is None or run is None:
            raise ValueError("found neither onnxruntime nor ai-edge-litert: pip install one of them")
        for item in items:
            raw = item.encode() if self.manifest["preprocessing"]["kind"] == "text" else Path(item).read_bytes()
            output = real(run(self.prepare(raw, model))[0], model["outputs"][0]).ravel()
            print(f"{item}: {self._said(output, model['file'])}")
        return 0

    def prepare(self, raw: bytes, model: Facts) -> dict[str, Array]:
        """From an image file's bytes, or a text's, to the model's inputs."""
        facts = self.manifest["preprocessing"]
        if facts["kind"] == "image":
            (tensor,) = model["inputs"]
            values = image(raw, facts, plain=model["file"] in facts["in_graph"])
            values = values.transpose(2, 0, 1) if facts["layouts"][model["file"]] == "NCHW" else values
            return {tensor["name"]: stored(values[None], tensor)}
        if facts["kind"] == "text":
            roles = self._tokens(raw.decode(), facts, facts["pad_to"].get(model["file"]))
            return {each["name"]: np.array([roles[each["role"]]], each["dtype"]) for each in model["inputs"]}
        raise ValueError("the inputs are of the user's own task: only their golden tensors are known")

    def _tokens(self, text: str, facts: Facts, length: int | None) -> dict[str, list[int]]:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.root / facts["tokenizer"]))
        tokenizer.no_padding()
        tokenizer.enable_truncation(facts["max_length"])
        ids = tokenizer.encode(facts["prompt"] + text).ids
        padding = max(0, (length or 0) - len(ids))
        return {
            "input_ids": ids + [facts["pad_id"]] * padding,
            "attention_mask": [1] * len(ids) + [0] * padding,
            "token_type_ids": [0] * (len(ids) + padding),
        }

    def _checked(self, model: Facts, golden: Facts) -> tuple[bool | None, str]:
        """Whether a model is as it must be, None where it can't run here; and the line that says so."""
        name = model["file"]
        if hashlib.sha256((self.root / name).read_bytes()).hexdigest() != model["sha256"]:
            return False, f"{name}: FAILED: this is not the file of which manifest.json speaks (SHA-256)"
        run = self._load(model)
        if run is None:
            return None, f"{name}: not run: pip install {RUNTIMES[model['format']][1]}"
        tolerance = tolerated(golden["tolerances"][name])
        apart = 0.0
        for number, item in enumerate(golden["items"]):
            expected = item["models"][name]
            inputs = {each["name"]: self._tensor(each) for each in expected["inputs"]}
            if item["raw"] is not None and (
                wrong := self._unlike(inputs, (self.root / item["raw"]).read_bytes(), model)
            ):
                return False, f"{name}: FAILED: golden vector {number}: {wrong}"
            for have, want, facts in zip(run(inputs), expected["outputs"], model["outputs"], strict=True):
                found, wanted = real(have, facts), real(self._tensor(want), facts)
                if found.shape != wanted.shape or (wrong := differs(found.ravel(), wanted.ravel(), tolerance)):
                    return False, f"{name}: FAILED: golden vector {number}: {facts['name']}: {wrong}"
                apart = max(apart, float(np.abs(found - wanted).max()))
        said = f"{len(golden['items'])} golden vectors, outputs {apart:.2g} apart, {tolerance['max_abs']:.2g} allowed"
        return True, f"{name}: ok: {said} on {tolerance['isa']}"

    def _unlike(self, inputs: Mapping[str, Array], raw: bytes, model: Facts) -> str:
        """How the inputs prepared here differ from the golden ones; empty where they don't."""
        for name, found in self.prepare(raw, model).items():
            wanted = inputs[name]
            if found.shape != wanted.shape or found.dtype != wanted.dtype:
                return f"input {name}: {found.dtype}{found.shape}, expected {wanted.dtype}{wanted.shape}"
            within = PREPARED_WITHIN.get(found.dtype.kind, PREPARED_WITHIN.get(found.dtype.str[1:], 0))
            apart = np.abs(found.astype(np.float64) - wanted).max()
            if not apart <= within:
                return f"input {name}: prepared here it is {apart:.3g} apart, {within:g} allowed"
        return ""

    def _said(self, output: Array, file: str) -> str:
        """The answer of one output in words."""
        facts = self.manifest["postprocessing"]
        if facts["kind"] != "softmax":
            return f"{len(output)} values of length {np.linalg.norm(output):.4f}: {np.round(output[:8], 4).tolist()} …"
        shares = softmax(output / facts.get("temperatures", {}).get(file, facts["temperature"]))
        labels = self._json(facts["labels"]) if facts["labels"] else [str(each) for each in range(len(shares))]
        best = [index for index in np.argsort(-shares)[:3] if shares[index] >= (facts["threshold"] or 0)]
        return ", ".join(f"{labels[index]} {shares[index]:.1%}" for index in best) or "none above the threshold"

    def _load(self, model: Facts) -> Run | None:
        """The model, ready to run; None where its runtime isn't installed."""
        try:
            return RUNTIMES[model["format"]][0](str(self.root / model["file"]), model)
        except ImportError:
            return None

    def _tensor(self, facts: Facts) -> Array:
        return np.frombuffer((self.root / facts["file"]).read_bytes(), STORED[facts["dtype"]]).reshape(facts["shape"])

    def _json(self, place: str) -> Any:
        return json.loads((self.root / place).read_text(encoding="utf-8"))


def image(raw: bytes, facts: Facts, *, plain: bool) -> Array:
    """An image file's bytes as (height, width, 3) values; ``plain``: 0 to 255, since the model does the rest itself."""
    import io

    from PIL import Image

    with Image.open(io.BytesIO(raw)) as opened:
        pixels = np.asarray(opened.convert("L" if facts["colour"] == "grey-as-rgb" else "RGB"), np.float32)
    pixels = resized(pixels.reshape(*pixels.shape[:2], -1), facts)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    if plain:
        return pixels
    low, high = facts["value_range"]
    values = pixels * np.float32((high - low) / 255) + np.float32(low)
    return (values - np.array(facts["mean"], np.float32)) / np.array(facts["scale"], np.float32)


def resized(pixels: Array, facts: Facts) -> Array:
    """Scale to the size of the training images, as those were: bilinear, antialiased, perhaps the middle part alone."""
    old, new = pixels.shape[:2], (facts["height"], facts["width"])
    if old == new:
        return pixels
    part = min(old[0] / new[0], old[1] / new[1]) if facts["crop"] == "centre" else 0.0
    for axis in (1, 0):  # rounded after each, as Pillow does
        length = part * new[axis] or old[axis]
        weights = triangles(old[axis], length, new[axis], antialiased=facts["resize"] != "bilinear")
        pixels = np.floor(np.moveaxis(np.tensordot(weights, pixels, (1, axis)), 0, axis) + 0.5).astype(np.float32)
    return pixels


def triangles(old: int, length: float, new: int, *, antialiased: bool) -> Array:
    """Weights (new, old) of a bilinear filter over the ``length`` pixels in the middle."""
    step = length / new
    width = max(step, 1.0) if antialiased else 1.0
    centres = (old - length) / 2 + (np.arange(new) + 0.5) * step
    weights = np.maximum(0, 1 - np.abs(np.arange(old) + 0.5 - centres[:, None]) / width)
    shares: Array = weights / weights.sum(1, keepdims=True)
    return shares


def stored(values: Array, tensor: Facts) -> Array:
    """Real values as the model takes them."""
    kind = tensor["dtype"]
    if tensor["scale"] is not None:
        values = np.rint(values / np.float32(tensor["scale"])) + tensor["zero_point"]
    if kind in ("int8", "uint8"):
        limits = np.iinfo(kind)
        values = np.clip(values, limits.min, limits.max)
    return np.ascontiguousarray(values.astype(kind))


def real(values: Array, tensor: Facts) -> Array:
    """What the model gives as real values."""
    values = values.astype(np.float64)
    return values if tensor["scale"] is None else tensor["scale"] * (values - tensor["zero_point"])


def tolerated(tolerances: Sequence[Facts]) -> Facts:
    """The tolerance of this processor's instruction set."""
    own = {"AMD64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    found = {each["isa"]: each for each in tolerances}
    return found[own] if own in found else found["any"]


def differs(found: Array, wanted: Array, tolerance: Facts) -> str:
    """How an output lies outside the tolerance; empty where it doesn't. NaN is outside."""
    limit = tolerance["max_abs"]
    apart = np.abs(found - wanted).max()
    if not apart <= limit:
        return f"{apart:.3g} apart, {limit:.3g} allowed"
    if tolerance["top1"] and found.argmax() != wanted.argmax() and wanted.max() - wanted[found.argmax()] > limit:
        return f"class {found.argmax()} is the largest, expected {wanted.argmax()}"
    if tolerance["cosine"] is not None:
        cosine = float(found @ wanted) / math.sqrt(float(found @ found) * float(wanted @ wanted))
        if not cosine >= tolerance["cosine"]:
            return f"cosine {cosine:.6f}, expected at least {tolerance['cosine']}"
    return ""


def softmax(values: Array) -> Array:
    """Probabilities of logits."""
    powers: Array = np.exp(values - values.max())
    shares: Array = powers / powers.sum()
    return shares


def onnx(path: str, model: Facts) -> Run:
    """Load a file into onnxruntime."""
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each["name"] for each in model["outputs"]]
    return lambda inputs: list(session.run(names, dict(inputs)))


def tflite(path: str, model: Facts) -> Run:
    """Load a file into LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    places = {each["name"]: each["index"] for each in interpreter.get_input_details()}
    results = {each["name"]: each["index"] for each in interpreter.get_output_details()}

    def run(inputs: Mapping[str, Array]) -> list[Array]:
        for name, values in inputs.items():
            interpreter.set_tensor(places[name], values)
        interpreter.invoke()
        return [interpreter.get_tensor(results[each["name"]]) for each in model["outputs"]]

    return run


RUNTIMES: Mapping[str, tuple[Callable[[str, Facts], Run], str]] = {
    "onnx": (onnx, "onnxruntime"),
    "tflite": (tflite, "ai-edge-litert"),
}

if __name__ == "__main__":
    sys.exit(main())
