"""Take the outliers out of a text encoder's activations before INT8, without changing what it computes.

onnxruntime quantizes the activations of a product of matrices with one step for the whole tensor. In BERT-like encoders
a few channels after a layer normalisation, and one or two neurons of a feed-forward block, are 10 to 20 times larger
than the rest, which is then rounded to a handful of levels. Two rewritings of the float file:

* layer normalisation: its scale and shift are divided by s, the weights that read it multiplied by s, and what else
  reads it gets it times s again (edgekd.algorithms.outliers.smoothing_scales);
* feed-forward: a neuron with large values stands m times, each copy divided by m (edgekd.algorithms.outliers.copies).

1 - cosine to float of 300 short texts: all-MiniLM-L6-v2 0.0076 without, 0.0010 with both; its layers 0, 2 and 4 0.0025
and 0.0004. They take 4 to 6 % of the INT8 file's speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.outliers import Values, copies, smoothing_scales
from edgekd.quantizers.onnx_editing import Editor
from edgekd.quantizers.onnx_fusion import IDS, MASK, compare, runner

EXTRA = 96  # one more neuron at most for as many that there are
LEAST = 4.0  # medians that a channel's largest value must reach to be treated at all
ELEMENTWISE = ("Gelu", "Relu", "Tanh", "Sigmoid")
Rows = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class FeedForward:
    """The nodes of activation(x up + bias) down."""

    up: Any
    added: Any
    activation: Any
    down: Any


def smooth(source: Path, target: Path, rows: Rows) -> None:
    """Write ``source`` without outliers, as far as those of ``rows`` show them.

    ``rows`` has input_ids and attention_mask (N, length) of some hundred typical texts, of which padding is left out.

    Raises:
        StageError: the new file's outputs differ from the old one's.

    """
    editor = Editor.open(source)
    normalisations, blocks = _normalisations(editor), _feed_forwards(editor)
    for name, peaks in _peaks(source, [*normalisations, *blocks], rows).items():
        if peaks.max() < LEAST * float(np.median(peaks)):
            continue
        if name in blocks:
            _widen(editor, blocks[name], peaks)
        else:
            _smooth(editor, normalisations[name], peaks)
    editor.save(target)
    compare(source, target)


def _peaks(source: Path, names: list[str], rows: Rows) -> dict[str, Values]:
    """The largest magnitude of each channel (the last axis) of the tensors ``names`` over all rows."""
    if not names:
        return {}
    run = runner(source, names)
    peaks: dict[str, Values] = {}
    for row in unpadded(rows):
        for name, found in zip(names, run(row), strict=True):
            largest = np.abs(found).reshape(-1, found.shape[-1]).max(axis=0)
            peaks[name] = np.maximum(peaks.get(name, largest), largest)
    return peaks


def unpadded(rows: Rows) -> Iterator[dict[str, npt.NDArray[np.int64]]]:
    """Each row without its padding, as the file takes it."""
    for ids, mask in zip(rows[IDS], rows[MASK], strict=True):
        kept = ids[mask > 0][None].astype(np.int64)
        yield {IDS: kept, MASK: np.ones_like(kept)}


def _products(editor: Editor, name: str) -> list[Any]:
    """The products that multiply ``name`` with constant weights."""
    products = [each for each in editor.users(name) if each.op_type == "MatMul"]
    return [each for each in products if each.input[0] == name and each.input[1] in editor.constants]


def _normalisations(editor: Editor) -> dict[str, Any]:
    """The layer normalisations with scale and shift before a product, by the name of what they write."""
    found = {each.output[0]: each for each in editor.of_type("LayerNormalization") if len(each.input) == 3}
    return {name: each for name, each in found.items() if _products(editor, name) and name not in editor.outputs}


def _feed_forwards(editor: Editor) -> dict[str, FeedForward]:
    """The feed-forward blocks, by the name of what their activation writes."""
    found = {each.output[0]: _feed_forward(editor, each) for each in editor.of_type(*ELEMENTWISE)}
    return {name: each for name, each in found.items() if each is not None}


def _feed_forward(editor: Editor, activation: Any) -> FeedForward | None:
    added, down = editor.producer(activation.input[0]), editor.only_user(activation)
    if added is None or added.op_type != "Add" or down not in _products(editor, activation.output[0]):
        return None
    up = editor.producer(added.input[0])
    if up is None or up not in _products(editor, up.input[0]) or added.input[1] not in editor.constants:
        return None
    return FeedForward(up, added, activation, down)


def _smooth(editor: Editor, normalisation: Any, peaks: Values) -> None:
    from onnx import helper

    name = normalisation.output[0]
    products = _products(editor, name)
    weights = np.concatenate([editor.constant(each.input[1]) for each in products], axis=1)
    scales = smoothing_scales(peaks, np.abs(weights).max(axis=1))
    for product in products:
        _change(editor, product, 1, editor.constant(product.input[1]) * scales[:, None])
    for position in (1, 2):
        _change(editor, normalisation, position, editor.constant(normalisation.input[position]) / scales)
    others = [each for each in editor.users(name) if each not in products]
    if others:
        restored = f"{name}_restored"
        editor.rename_reads(others, name, restored)
        factors = editor.put(f"{name}_scales", scales)
        editor.insert([helper.make_node("Mul", [name, factors], [restored], name=restored)], after=normalisation)


def _widen(editor: Editor, block: FeedForward, peaks: Values) -> None:
    from onnx import helper

    number = copies(peaks, len(peaks) // EXTRA, LEAST)
    if number.max() == 1:
        return
    order = np.repeat(np.arange(len(number)), number)
    _change(editor, block.up, 1, editor.constant(block.up.input[1])[:, order])
    _change(editor, block.added, 1, editor.constant(block.added.input[1])[order])
    _change(editor, block.down, 1, editor.constant(block.down.input[1])[order])
    name = block.activation.output[0]
    shared, shares = f"{name}_shared", editor.put(f"{name}_shares", (1 / number[order]).astype(np.float32))
    editor.rename_reads([block.down], name, shared)
    editor.insert([helper.make_node("Mul", [name, shares], [shared], name=shared)], after=block.activation)


def _change(editor: Editor, node: Any, position: int, values: npt.NDArray[Any]) -> None:
    """Give ``node`` a constant of its own at an input, as other nodes may share the old one."""
    node.input[position] = editor.put(f"{node.output[0]}_input_{position}", values)
