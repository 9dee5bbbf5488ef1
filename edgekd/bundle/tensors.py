"""What a model file takes and gives, as the manifest says it."""

from __future__ import annotations

from edgekd.bundle.manifest import Tensor
from edgekd.runtimes.feeding import Wanted
from edgekd.tasks.base import Outputs, Task
from edgekd.tasks.image_classification import ImageClassification

BYTES = "image_bytes"  # the input of a file that prepares images itself
TEXT = {
    "input_ids": "token ids, padded on the right",
    "attention_mask": "1 for each token, 0 for padding",
    "token_type_ids": "0 for each token: there is one text",
}
OUTPUT = {
    Outputs.LOGITS: "one number a class, in the order of the labels; the largest is the answer",
    Outputs.VECTORS: "the embedding: compare two by their cosine",
}


def taken(each: Wanted, task: Task) -> Tensor:
    """An input."""
    text = next((name for name in TEXT if name in (each.name, each.alias)), None)
    if text is not None:
        return _tensor(each, text, TEXT[text])
    if isinstance(task, ImageClassification):
        channels = "channels first" if each.shape[1] == 3 else "channels last"
        what = "the image's bytes" if each.name == BYTES else "the prepared image"
        return _tensor(each, "image", f"{what} in RGB, {channels}")
    return _tensor(each, "other", f"the array {each.alias or each.name!r} of the task's own inputs")


def given(each: Wanted, task: Task) -> Tensor:
    """An output."""
    return _tensor(each, "logits" if task.outputs is Outputs.LOGITS else "vector", OUTPUT[task.outputs])


def _tensor(each: Wanted, role: str, meaning: str) -> Tensor:
    shape = tuple(None if size == -1 else size for size in each.shape)
    scaled = {"scale": each.scale, "zero_point": each.zero_point} if each.scale > 0 else {}
    fields = {"name": each.name, "shape": shape, "dtype": each.dtype, "role": role, "meaning": meaning}
    return Tensor.model_validate(fields | scaled)
