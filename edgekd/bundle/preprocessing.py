"""What is done to an input before the model and to its output after it, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from edgekd.bundle.manifest import (
    ImagePreprocessing,
    Model,
    OtherPreprocessing,
    Place,
    Postprocessing,
    Preprocessing,
    Tensor,
    TextPreprocessing,
)
from edgekd.bundle.wordpiece import lowercase, vocabulary
from edgekd.data.tokens import Tokenizer
from edgekd.tasks.base import Outputs, Task
from edgekd.tasks.image_classification import MEAN, SCALE, ImageClassification
from edgekd.tasks.texts import TextTask

TOKENIZER, VOCABULARY = "tokenizer.json", "vocab.txt"


def preprocessing(
    task: Task, models: Sequence[Model], *, resized: bool, in_graph: tuple[Place, ...] = ()
) -> Preprocessing:
    """How an input of ``task`` becomes tensors.

    ``resized``: the training images were brought to their size; ``in_graph`` has the files that prepare images.
    """
    if isinstance(task, ImageClassification):
        found = _image(task, models, resized=resized)
        taken = found.layouts | dict.fromkeys(in_graph, "NHWC")
        return found.model_copy(update={"in_graph": in_graph, "layouts": taken})
    if isinstance(task, TextTask) and task.tokenizer is not None:
        return _text(task.tokenizer, models)
    return OtherPreprocessing(
        description=f"{task.title}: inputs are arrays by name, as the task's own `inputs` makes them"
    )


def _image(task: ImageClassification, models: Sequence[Model], *, resized: bool) -> ImagePreprocessing:
    height, width, channels = task.data.test.images.shape[1:]
    return ImagePreprocessing(
        height=height,
        width=width,
        resize="bilinear-antialiased" if resized else "none",
        crop="centre" if resized else "none",
        colour="grey-as-rgb" if channels == 1 else "rgb",
        mean=(MEAN,) * 3,
        scale=(SCALE,) * 3,
        layouts={each.file: "NCHW" if each.inputs[0].shape[1] == 3 else "NHWC" for each in models},
    )


def _text(tokenizer: Tokenizer, models: Sequence[Model]) -> TextPreprocessing:
    told = json.loads(tokenizer.text)
    return TextPreprocessing(
        tokenizer=TOKENIZER,
        vocabulary=None if vocabulary(told) is None else VOCABULARY,
        max_length=tokenizer.max_length,
        pad_to={each.file: _ids(each).shape[-1] for each in models},
        pad_id=tokenizer.pad_id,
        lowercase=lowercase(told.get("normalizer")),
        special_tokens={each["content"]: each["id"] for each in told.get("added_tokens", ()) if each["special"]},
        prompt=tokenizer.prompt,
    )


def _ids(model: Model) -> Tensor:
    return next(each for each in model.inputs if each.role == "input_ids")


def text_files(task: Task) -> dict[Place, bytes]:
    """tokenizer.json, which cuts at the model's length, and for WordPiece vocab.txt; nothing for other tasks."""
    if not isinstance(task, TextTask) or task.tokenizer is None:
        return {}
    told = json.loads(task.tokenizer.text)
    told["truncation"] = {
        "direction": "Right",
        "max_length": task.tokenizer.max_length,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    made = {TOKENIZER: (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode()}
    tokens = vocabulary(told)
    return made if tokens is None else {**made, VOCABULARY: tokens}


def postprocessing(
    task: Task, labels: Place | None, temperatures: Mapping[Place, float], *, unit: bool
) -> Postprocessing:
    """What becomes of an output; ``unit``: the vectors have length 1 as they come out."""
    if task.outputs is Outputs.VECTORS:
        return Postprocessing(kind="vector", normalised=unit)
    kept = dict(temperatures)
    return Postprocessing(kind="softmax", labels=labels, temperature=next(iter(kept.values()), 1.0), temperatures=kept)
