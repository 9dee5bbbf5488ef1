"""The model files as they are shipped: the measured ones with metadata, which change nothing that is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgekd.bundle import facts, onnx_metadata, onnx_prefix, tflite_metadata
from edgekd.bundle.facts import Facts
from edgekd.bundle.manifest import ImagePreprocessing, Manifest, Place

# By the ending: takes the file, what it is to say, and the bundle's other files; gives the finished file's bytes.
WithMetadata = Callable[[bytes, Facts, Mapping[Place, bytes]], bytes]
METADATA: dict[str, WithMetadata] = {".onnx": onnx_metadata.with_metadata, ".tflite": tflite_metadata.with_metadata}


def finished(path: Path, name: Place, manifest: Manifest, assets: Mapping[Place, bytes]) -> bytes:
    """The measured file at ``path`` as it is shipped under ``name``.

    ``manifest`` has neither figures nor a verdict yet, and of each model the measured file's digest: what differs from
    run to run stays out of the files, so that the same model gives the same file.
    """
    image, content = manifest.preprocessing, path.read_bytes()
    if isinstance(image, ImagePreprocessing) and name in image.in_graph:
        content = onnx_prefix.with_image_prefix(content, image)
    return METADATA[path.suffix](content, facts.of(manifest, name), assets)
