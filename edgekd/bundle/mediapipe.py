"""What keeps MediaPipe Tasks from using a TFLite file, told by the manifest's facts before anybody tries."""

from __future__ import annotations

from collections.abc import Iterator

from edgekd.bundle import wordpiece
from edgekd.bundle.manifest import ImagePreprocessing, Model, Preprocessing, Tensor, TextPreprocessing

IMAGES = ("float32", "uint8")  # what it feeds
ANSWERS = ("float32", "uint8")  # what it reads


def obstacles(model: Model, preprocessing: Preprocessing, tokenizer: bytes | None = None) -> Iterator[str]:
    """Why MediaPipe refuses the file, or answers otherwise than edgekd measured; nothing where it does neither.

    ``tokenizer`` is the content of tokenizer.json, for texts.
    """
    if isinstance(preprocessing, ImagePreprocessing):
        yield from _image(model.inputs[0], preprocessing)
    elif isinstance(preprocessing, TextPreprocessing):
        yield from _text(model, preprocessing, tokenizer)
    else:
        yield "MediaPipe has no task for a task of one's own"
    if (found := model.outputs[0].dtype) not in ANSWERS:
        yield f"MediaPipe reads {' or '.join(ANSWERS)}, and the file gives {found}: quantize with io = 'float'"


def _image(taken: Tensor, image: ImagePreprocessing) -> Iterator[str]:
    if taken.dtype not in IMAGES:
        yield f"MediaPipe feeds {' or '.join(IMAGES)}, and the file takes {taken.dtype}: quantize with io = 'float'"
    if len(set(image.mean)) > 1 or len(set(image.scale)) > 1:
        yield "MediaPipe takes one mean and one scale for all channels, and the file has one a channel"
    elif taken.dtype == "uint8" and (levels := levels_off(taken, image)) > 1:
        yield (
            f"MediaPipe feeds the image's bytes as they are, which are up to {levels:.1f} of the file's levels from "
            "what they stand for: quantize with io = 'float'"
        )
    if image.crop != "none":
        yield "MediaPipe scales the whole image, and the training images were cropped to the model's proportions before"


def levels_off(taken: Tensor, image: ImagePreprocessing) -> float:
    """How far a byte that is fed as it is may lie from what it stands for, in levels of the input's scale."""
    if taken.scale is None or taken.zero_point is None:
        return 0.0
    mean, scale = image.mean[0], image.scale[0]
    return max(abs((byte - mean) / scale / taken.scale + taken.zero_point - byte) for byte in (0, 255))


def _text(model: Model, text: TextPreprocessing, tokenizer: bytes | None) -> Iterator[str]:
    found = () if tokenizer is None else wordpiece.obstacles(tokenizer)
    yield from (f"MediaPipe can't use the tokenizer: {why}" for why in found)
    if text.prompt:
        yield f"MediaPipe puts no prompt before a text: hand it {text.prompt!r} + the text"
    if text.pad_to.get(model.file) != text.max_length:
        yield f"MediaPipe cuts texts at the file's length, and the file's is not {text.max_length}"
