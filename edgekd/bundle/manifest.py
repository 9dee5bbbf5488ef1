"""Manifest: all that an app has to know of a bundle's models; its fields are manifest.json, with a JSON Schema.

Needs pydantic alone, so that ``verify`` can read one without torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from edgekd.errors import BadInputError
from edgekd.toml_file import Frozen

FORMAT_VERSION = 1
NAME = "manifest.json"

DType = Literal["float32", "float16", "int8", "uint8", "int32", "int64"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Place = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$", max_length=200)]


class Tensor(Frozen):
    """An input or output of a model file."""

    name: str  # as the file has it
    shape: tuple[int | None, ...]  # None: any size
    dtype: DType
    role: Literal["image", "input_ids", "attention_mask", "token_type_ids", "logits", "vector", "other"]
    meaning: str  # one sentence for a person
    scale: float | None = None  # real = scale * (stored - zero_point); None where the values are real, or ids
    zero_point: int | None = None


class Figure(Frozen):
    """One number with where it comes from; SI units, quality as the task's metric has it."""

    metric: str  # quality, latency_p50, latency_p95, peak_memory, energy, …
    unit: str  # s, B, J, or '' for a share
    point: float | None
    lower: float | None = None
    upper: float | None = None
    confidence: str = ""  # of the bounds, for example '95 %'
    provenance: Literal["on_device", "on_host", "emulated", "predicted"]
    conditions: dict[str, str] = {}
    unavailable: str = ""  # why there is no point


class Minimum(Frozen):
    """The least version of a runtime that can run the file, and what in the file decides it."""

    runtime: str  # as its package is called: onnxruntime, tflite-runtime, com.google.ai.edge.litert:litert, …
    version: str
    because: str  # 'IR version 10', 'FULLY_CONNECTED version 9'


class Model(Frozen):
    """One INT8 file."""

    file: Place
    format: Literal["onnx", "tflite"]
    sha256: Sha256
    size_bytes: Annotated[int, Field(gt=0)]
    measured_sha256: Sha256  # of the file that figures were taken of: the same operators without metadata
    isa: str  # the instruction set it was made for
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    minimum: tuple[Minimum, ...]
    figures: tuple[Figure, ...]


class ImagePreprocessing(Frozen):
    """From a decoded image to the tensor: resize, (x - mean) / scale for each channel, layout by the input's shape."""

    kind: Literal["image"] = "image"
    height: int
    width: int
    resize: Literal["none", "bilinear", "bilinear-antialiased"]  # how the training images were brought to this size
    crop: Literal["none", "centre"] = "none"
    colour: Literal["rgb", "grey-as-rgb"]  # 'grey-as-rgb': the training images were grey, each value thrice
    value_range: tuple[float, float] = (0.0, 255.0)
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    layouts: dict[str, Literal["NCHW", "NHWC"]]  # by model file
    in_graph: tuple[str, ...] = ()  # model files that take bytes from 0 to 255, and do this themselves


class TextPreprocessing(Frozen):
    """From a text to token ids."""

    kind: Literal["text"] = "text"
    tokenizer: Place  # a tokenizer.json of the library tokenizers
    vocabulary: Place | None  # one token a line, where the tokenizer is WordPiece: what MediaPipe reads
    max_length: int  # special tokens included; longer texts are cut
    pad_to: dict[str, int | None]  # by model file; None: takes any length
    pad_id: int
    lowercase: bool | None  # None: not told by the tokenizer
    special_tokens: dict[str, int]  # CLS, SEP, PAD, UNK … by the name that the tokenizer has for them
    prompt: str = ""  # put before each text


class OtherPreprocessing(Frozen):
    """A task of the user's own: inputs are arrays by name, and what they mean is the user's."""

    kind: Literal["own"] = "own"
    description: str


Preprocessing = Annotated[ImagePreprocessing | TextPreprocessing | OtherPreprocessing, Field(discriminator="kind")]


class Postprocessing(Frozen):
    """From the output to the answer."""

    kind: Literal["softmax", "vector", "none"]
    labels: Place | None = None  # a JSON list of strings, in the order of the logits
    temperature: float = 1.0  # probabilities = softmax(logits / temperature); the first model file's
    temperatures: dict[str, float] = {}  # by model file, where one was fitted to each: its own goes before the other
    threshold: float | None = None
    normalised: bool = False  # vectors have length 1 as they come out


class Golden(Frozen):
    """Real inputs with what each model gives for them: how they lie on disk stands in ``edgekd/bundle/golden.py``."""

    index: Place
    count: Annotated[int, Field(ge=1)]


class Licence(Frozen):
    """Under what terms a part may be used."""

    part: str  # teacher, data, code, tokenizer …
    name: str
    terms: str  # an SPDX identifier where there is one, else 'unknown: ask …'
    source: str
    file: Place | None = None


class Manifest(Frozen):
    """manifest.json."""

    format_version: Literal[1] = 1
    edgekd_version: str
    name: str
    device: str
    task: str
    verdict: Literal["pass", "fail", "inconclusive"]
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    preprocessing: Preprocessing
    postprocessing: Postprocessing
    golden: Golden
    licences: tuple[Licence, ...]


def schema() -> dict[str, Any]:
    """The JSON Schema of manifest.json."""
    found = Manifest.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def read(path: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        BadInputError: no such file, no JSON, or a field that is missing, unknown or out of range.

    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: found no manifest that can be read: {error}") from error


def parse(content: str, where: str) -> Manifest:
    """Read a manifest's text; ``where`` is for the error."""
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadInputError(f"{where}: {place}: {first['msg']}", "take the bundle again from who made it") from error


def text(manifest: Manifest) -> str:
    """Its text, the same for the same manifest."""
    return json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write(manifest: Manifest, path: Path) -> Path:
    """Write it, the same bytes for the same manifest."""
    path.write_text(text(manifest), encoding="utf-8")
    return path
