"""The products of a TFLite text encoder: its dense layers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgekd.quantizers.products import Call, Dense, Values, watched
from edgekd.quantizers.tflite_editing import Editor
from edgekd.quantizers.tflite_outliers import BIAS, DENSE, Watched, constant, tokens
from edgekd.runtimes.feeding import single_rows
from edgekd.tasks.base import Arrays


def watch(source: Path, rows: Arrays) -> list[Dense]:
    """Run the float file on ``rows``, of which padding is left out, and return its products with what they read.

    A dense layer with fixed ranges writes whole numbers, so what they write is watched, too.
    """
    editor = Editor.open(source)
    layers = [each for each in editor.of_kind(DENSE) if editor.constant(each.inputs[1]) is not None]
    places = [int(place) for each in layers for place in (each.inputs[0], each.outputs[0])]
    rows_seen = _rows(editor, list(dict.fromkeys(places)), rows)
    return watched([_call(editor, each) for each in layers], rows_seen, by_token=True)


def _call(editor: Editor, layer: Any) -> Call:
    reads, writes = (editor.name(place) for place in (layer.inputs[0], layer.outputs[0]))
    bias = editor.constant(layer.inputs[BIAS]) if len(layer.inputs) > BIAS else None
    return Call(writes, reads, writes, constant(editor, layer, 1).T, 0.0 if bias is None else bias)


def _rows(editor: Editor, places: list[int], rows: Arrays) -> Iterator[dict[str, Values]]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "watched.tflite"
        inner = [each for each in places if editor.producer(each) is not None and not editor.given_out(each)]
        path.write_bytes(editor.packed(outputs=inner))
        runner = Watched(path, 1)
    for row in single_rows([rows]):
        values = runner.tensors(row, places)
        yield {editor.name(place): tokens(each, row) for place, each in zip(places, values, strict=True)}
