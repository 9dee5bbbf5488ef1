"""Ask MediaPipe Tasks, in an environment that has nothing of edgekd: python mediapipe_answers.py REQUEST ANSWERS."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mediapipe import Image, ImageFormat
from mediapipe.tasks.python import BaseOptions, text, vision


def images(model: str, items: list[str]) -> list[Any]:
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model), max_results=-1)
    with vision.ImageClassifier.create_from_options(options) as task:
        shown = [Image(image_format=ImageFormat.SRGB, data=np.load(item)) for item in items]
        return [scores(task.classify(each)) for each in shown]


def classes(model: str, items: list[str]) -> list[Any]:
    options = text.TextClassifierOptions(base_options=BaseOptions(model_asset_path=model), max_results=-1)
    with text.TextClassifier.create_from_options(options) as task:
        return [scores(task.classify(item)) for item in items]


def vectors(model: str, items: list[str]) -> list[Any]:
    options = text.TextEmbedderOptions(base_options=BaseOptions(model_asset_path=model))
    with text.TextEmbedder.create_from_options(options) as task:
        return [[float(value) for value in task.embed(item).embeddings[0].embedding] for item in items]


def scores(result: Any) -> list[list[Any]]:
    """Name and score of every class, the best first."""
    return [[each.category_name, float(each.score)] for each in result.classifications[0].categories]


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text())
    task = {"images": images, "classes": classes, "vectors": vectors}[request["task"]]
    try:
        found = {"answers": task(request["model"], request["items"])}
    except (RuntimeError, ValueError, OSError, NotImplementedError) as error:
        found = {"refused": str(error)}
    Path(sys.argv[2]).write_text(json.dumps(found))


main()
