"""Rewrite an exported text encoder so that onnxruntime runs it faster; what it computes stays the same.

Three rewritings, all exact but for rounding in float32 (at most 2e-7 on all-MiniLM-L6-v2):

* padding is taken away first. With one text a run, the tokens that the mask keeps are picked out of both inputs
  (Compress), so that nothing is computed for the others. Padding must be on the right: positions count from the left;
* attention becomes onnxruntime's MultiHeadAttention where nothing but the mask is added to its scores: without padding
  that is zero. One with a position bias is left as it is;
* a residual is added by Sum instead of Add before a layer normalisation. Of an Add onnxruntime would make one
  SkipLayerNormalization, which takes 3 to 4 times as long as the two (1.31 on x86: 121 against 46 us for 32 x 384).

The INT8 file of 3 layers of all-MiniLM-L6-v2 is 1.2 to 1.3 times as fast with them, at 32 and at 128 tokens (five
interleaved comparisons, one thread, on a busy x86 with VNNI).
Tried and left: one product for query, key and value, QAttention, FastGelu and GELU by tanh, without gain; and
MatMulNBits with 8 bits, 3 to 4 times slower than MatMulInteger and no faster than float.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.errors import StageError
from edgekd.quantizers.onnx_editing import CONTRIBUTED, Editor, attribute

IDS, MASK = "input_ids", "attention_mask"
LENGTHS = (5, 12)  # of the texts on which the two files are compared
CLOSE = 1e-4  # of the largest output


@dataclass(frozen=True, slots=True)
class Attention:
    """Where softmax(scale q k^T + bias) v stands in a graph; query, key and value are (1, length, heads * width)."""

    query: str
    key: str
    value: str
    heads: int
    scale: float
    bias: str | None
    last: Any  # the node that joins the heads


def fuse(source: Path, target: Path) -> None:
    """Write ``source`` rewritten. A file without the inputs input_ids and attention_mask keeps its padding.

    Raises:
        StageError: the new file's outputs differ from the old one's.

    """
    editor = Editor.open(source)
    if _takes_one_text(editor):
        unbiased = _zero_biases(source, [each.bias for each in _attentions(editor) if each.bias is not None])
        _fuse_attention(editor, unbiased)
        _drop_padding(editor)
    else:
        _fuse_attention(editor, frozenset())
    _keep_additions(editor)
    editor.save(target)
    if _takes_one_text(editor):
        compare(source, target)


def _takes_one_text(editor: Editor) -> bool:
    sizes = {each.name: each.type.tensor_type.shape.dim for each in editor.model.graph.input}
    return set(sizes) == {IDS, MASK} and all(size[0].dim_value == 1 for size in sizes.values())


def _keep_additions(editor: Editor) -> None:
    for node in editor.of_type("LayerNormalization"):
        before = editor.producer(node.input[0])
        if before is not None and before.op_type == "Add":
            before.op_type = "Sum"


def _drop_padding(editor: Editor) -> None:
    from onnx import TensorProto, helper

    kept, everywhere = "kept_tokens", editor.nodes
    flat = editor.put("kept_tokens_shape", np.array([-1], np.int64))
    nodes = [
        helper.make_node("Cast", [MASK], ["mask_of_kept_tokens"], to=TensorProto.BOOL),
        helper.make_node("Reshape", ["mask_of_kept_tokens", flat], [kept]),
        helper.make_node("Compress", [IDS, kept], ["kept_ids"], name="kept_ids", axis=1),
        helper.make_node("Compress", [MASK, kept], ["kept_mask"], name="kept_mask", axis=1),
    ]
    editor.rename_reads(everywhere, IDS, "kept_ids")
    editor.rename_reads(everywhere, MASK, "kept_mask")
    editor.insert(nodes)


def _fuse_attention(editor: Editor, unbiased: frozenset[str]) -> None:
    from onnx import helper

    for number, found in enumerate(_attentions(editor)):
        if found.bias is not None and found.bias not in unbiased:
            continue
        inputs, outputs = [found.query, found.key, found.value], [found.last.output[0]]
        fused = helper.make_node("MultiHeadAttention", inputs, outputs, f"attention_{number}", domain=CONTRIBUTED)
        fused.attribute.extend(
            [helper.make_attribute("num_heads", found.heads), helper.make_attribute("scale", found.scale)]
        )
        editor.replace(found.last, [fused])
        editor.use_contributed()


def _attentions(editor: Editor) -> list[Attention]:
    found = (_attention(editor, node) for node in editor.of_type("Softmax"))
    return [each for each in found if each is not None]


def _attention(editor: Editor, softmax: Any) -> Attention | None:
    """Read back from a softmax what it is the softmax of, and on to where the heads are joined."""
    scaled, bias = _added(editor, softmax.input[0])
    product, scale = _factor(editor, scaled)
    mixed = editor.only_user(softmax)
    if product is None or mixed is None or mixed.op_type != "MatMul" or mixed.input[0] != softmax.output[0]:
        return None
    sources = [_heads(editor, name) for name in (*product.input, mixed.input[1])]
    layouts = [each[1] for each in sources if each is not None]
    swap = editor.only_user(mixed)
    last = None if swap is None or attribute(swap, "perm") != [0, 2, 1, 3] else editor.only_user(swap)
    if layouts != [layouts[0]] * 3 or last is None or last.op_type != "Reshape":
        return None
    names = [each[0] for each in sources if each is not None]
    return Attention(names[0], names[1], names[2], layouts[0][0], scale, bias, last)


def _added(editor: Editor, name: str) -> tuple[str, str | None]:
    """Split scores + bias. The bias is what comes second, and the scores what is multiplied."""
    node = editor.producer(name)
    return (node.input[0], node.input[1]) if node is not None and node.op_type == "Add" else (name, None)


def _factor(editor: Editor, name: str) -> tuple[Any | None, float]:
    """The product of matrices and the constant that it is multiplied with or divided by."""
    node, scale = editor.producer(name), 1.0
    if node is not None and node.op_type in {"Mul", "Div"}:
        factor = editor.value(node.input[1])
        if factor is None or factor.size != 1:
            return None, scale
        scale = float(factor.reshape(())) if node.op_type == "Mul" else 1 / float(factor.reshape(()))
        node = editor.producer(node.input[0])
    return (node, scale) if node is not None and node.op_type == "MatMul" else (None, scale)


def _heads(editor: Editor, name: str) -> tuple[str, tuple[int, int]] | None:
    """The tensor (1, length, heads * width) that ``name`` shows by heads, with their number and width."""
    node = editor.producer(name)
    while node is not None and node.op_type == "Transpose":
        node = editor.producer(node.input[0])
    shape = None if node is None or node.op_type != "Reshape" else editor.value(node.input[1])
    if node is None or shape is None or len(shape) != 4 or shape[2] < 1 or shape[3] < 1:
        return None
    return node.input[0], (int(shape[2]), int(shape[3]))


def _zero_biases(source: Path, names: list[str]) -> frozenset[str]:
    """Which of the tensors ``names`` are zero throughout for texts without padding, found by running the model."""
    editor = Editor.open(source)
    wanted = [name for name in dict.fromkeys(names) if _depends_on_mask_alone(editor, name)]
    if not wanted:
        return frozenset()
    run = runner(source, wanted)
    values = [run(_text(length, 0)) for length in LENGTHS]
    return frozenset(name for index, name in enumerate(wanted) if not any(each[index].any() for each in values))


def _depends_on_mask_alone(editor: Editor, name: str) -> bool:
    """Whether no value but the mask's decides ``name``; shapes may."""
    waiting, seen = [name], {name}
    while waiting:
        current = waiting.pop()
        node = editor.producer(current)
        if node is None and current == IDS:
            return False
        before = [] if node is None or node.op_type == "Shape" else [each for each in node.input if each not in seen]
        waiting += before
        seen.update(before)
    return True


def runner(path: Path, names: list[str]) -> Callable[[dict[str, Any]], list[npt.NDArray[Any]]]:
    """Return a function that runs the file and gives the tensors ``names``, or all outputs if that is empty."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    known = {each.name for each in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda fed: list(session.run(names or None, fed))


def _text(length: int, padding: int) -> dict[str, npt.NDArray[np.int64]]:
    """Ids from 1 to 5 in turn, which every vocabulary has, and ``padding`` zeros."""
    ids = np.arange(length + padding)[None] % 5 + 1
    mask = (np.arange(length + padding)[None] < length).astype(np.int64)
    return {IDS: ids * mask, MASK: mask}


def compare(source: Path, target: Path) -> None:
    """Refuse a rewritten file whose outputs aren't those of its source, on short texts with and without padding.

    Raises:
        StageError: with the largest difference.

    """
    before, after = runner(source, []), runner(target, [])
    for length in LENGTHS:
        for padding in (0, 3):
            old, new = (run(_text(length, padding))[0] for run in (before, after))
            worst = float(np.abs(old - new).max())
            if not worst <= CLOSE * float(np.abs(old).max()):
                raise StageError(
                    f"{source.name}: rewritten for onnxruntime, its outputs differ by {worst:.2g}, expected less than "
                    f"{CLOSE:g} of the largest ({length} tokens, {padding} of padding)",
                    "please report it with the model's architecture",
                )
