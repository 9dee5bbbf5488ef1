"""Static INT8 for onnxruntime with ranges of our own: what a float file's tensors hold, and the QDQ file out of it.

onnxruntime's calibrators keep every tensor of every row (4.4 GB for 64 images of MobileNetV2), so only its
``QDQQuantizer`` is used, which takes ranges from anywhere. It sets one of them itself: Softmax gives 0 to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.ranges import Histograms, Range, halves, merged
from edgekd.algorithms.sensitivity import Operator
from edgekd.errors import BadInputError, StageError, nearest
from edgekd.runtimes.feeding import single_rows
from edgekd.runtimes.onnxruntime import Runner
from edgekd.tasks.base import Arrays

ACTIVATIONS = ("Relu", "Clip")
QUANTIZE = "QuantizeLinear"
NO_WORK = {QUANTIZE, "DequantizeLinear", "Constant"}
RENAMED = "_QuantizeLinear_Input"  # what the quantizer appends to the name of a graph's output


def prepare(source: Path, target: Path) -> None:
    """Write ``source`` as it is best observed and quantized: constants folded, batch norms in convolutions.

    Nodes without a name get one, as the quantizer leaves nodes in float by their names.
    """
    import onnx
    from onnxruntime.quantization import quant_pre_process

    quant_pre_process(source, target)
    model = onnx.load(target)
    taken = {node.name for node in model.graph.node}
    for number, node in enumerate(model.graph.node):
        if not node.name:
            node.name = _free(f"{node.op_type}_{number}", taken)
            taken.add(node.name)
    onnx.save(model, target)


def observe(source: Path, rows: Arrays) -> Histograms:
    """Run the float file on ``rows``, and return for each tensor that can be quantized what it held.

    Raises:
        StageError: onnxruntime can't run the file, or a tensor had values that are not finite.

    """
    even, odd = observe_halves(source, rows)
    return {name: merged(even[name], odd[name]) for name in even}


def observe_halves(source: Path, rows: Arrays) -> tuple[Histograms, Histograms]:
    """Return the same for the even and for the odd rows, by which a tensor can be found whose range a few rows decide.

    The file runs once, a row at a time, and a row's tensors are dropped before the next: memory doesn't grow with
    the rows.
    """
    import onnx

    names = _quantizable(onnx.load(source))
    try:
        return halves(names, quantizable(source, rows))
    except ValueError as error:
        raise StageError(f"{source}: {error}", "look at the calibration rows that lead there") from error


def quantizable(source: Path, rows: Arrays) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """What each tensor of the float file that can be quantized holds, inputs too, for each row in turn."""
    import onnx

    model = onnx.load(source)
    names = _quantizable(model)
    with TemporaryDirectory() as folder:
        watched = Path(folder) / source.name
        onnx.save(giving_out(model, names), watched)
        yield from Watcher(watched, 1).tensors(names, rows)


def quantize(
    source: Path,
    target: Path,
    ranges: Mapping[str, Range],
    *,
    isa: str,
    per_channel: bool = True,
    keep_float: Collection[str] = (),
) -> None:
    """Write the float file ``source`` in INT8 with these ranges for its activations.

    ``ranges`` has those of all tensors that ``observe`` names; of a Relu or Clip, and of what it reads, that of the
    output counts. ``keep_float`` has operators ('Softmax') or names of single nodes that stay float.

    Arm's kernels take signed activations. x86's take unsigned ones, and without VNNI ('x86') add pairs of products in
    16 bits, where full-range weights saturate: there the weights keep to 7 bits
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).

    Raises:
        BadInputError: ``keep_float`` names what the file doesn't have.
        StageError: a range is missing.

    """
    import onnx

    model = onnx.load(source)
    missing = sorted(_quantizable(model) - ranges.keys())
    if missing:
        raise StageError(f"{source}: no range is given for {', '.join(missing)}")
    made = _quantized(model, ranges, _kept(model, keep_float), isa, per_channel=per_channel)
    onnx.save(made, target)


def left_float(source: Path) -> list[str]:
    """Return the operators of ``source`` that onnxruntime's quantizer leaves in float, at least in one place.

    It leaves those that it doesn't know, and those that only pass values on where these aren't quantized. What it
    does quantize, onnxruntime may still run in float (LayerNormalization), between DequantizeLinear and QuantizeLinear.
    """
    import onnx

    model = onnx.load(source)
    names, known = _float_names(model), _operators()
    made = _quantized(model, dict.fromkeys(_quantizable(model), (-1.0, 1.0)), (), "arm64", per_channel=False)
    read = {node.input[0].removesuffix(RENAMED) for node in made.graph.node if node.op_type == QUANTIZE}
    return sorted(
        {
            node.op_type
            for node in made.graph.node
            for name in (each.removesuffix(RENAMED) for each in node.output)
            if node.op_type not in NO_WORK and name in names and (name not in read or node.op_type not in known)
        }
    )


def operators(source: Path) -> list[Operator]:
    """The nodes of ``source`` that ``quantize`` would quantize, by what they read and write besides constants.

    One with an activation behind it writes what that writes: in INT8 the two are one.
    """
    import onnx

    model = onnx.load(source)
    known, tensors = _operators(), _quantizable(model)
    behind = _activations_behind(model)
    activations = {id(each) for each in behind.values()}
    return [
        Operator(
            node.name,
            tuple(name for name in node.input if name in tensors),
            behind[node.name].output[0] if node.name in behind else node.output[0],
        )
        for node in model.graph.node
        if node.op_type in known and node.output[0] in tensors and id(node) not in activations
    ]


def _activations_behind(model: Any) -> dict[str, Any]:
    """The Relu or Clip that alone reads what a node writes, by that node's name."""
    readers = Counter(name for node in model.graph.node for name in node.input)
    writers = {node.output[0]: node for node in model.graph.node if node.output}
    return {
        writers[node.input[0]].name: node
        for node in model.graph.node
        if node.op_type in ACTIVATIONS and node.input[0] in writers and readers[node.input[0]] == 1
    }


def tensors(source: Path, names: Collection[str], rows: Arrays) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """What these tensors of a file, in float or INT8, hold for each row; those that it doesn't have are left out.

    Of a tensor that is rounded that is what its readers get, clipped and rounded.
    """
    import onnx

    model = onnx.load(source)
    rounded = _rounded(model)
    there = {each.name for each in model.graph.input} | {name for node in model.graph.node for name in node.output}
    wanted = {rounded.get(name, name): name for name in names if name in rounded or name in there}
    with TemporaryDirectory() as folder:
        watched = Path(folder) / source.name
        onnx.save(giving_out(model, wanted), watched)
        for found in Watcher(watched, 1).tensors(wanted, rows):
            yield {wanted[name]: values for name, values in found.items()}


def _rounded(model: Any) -> dict[str, str]:
    """What a tensor is called after QuantizeLinear and DequantizeLinear, by its name in the float file."""
    before = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == QUANTIZE}
    return {
        before[node.input[0]].removesuffix(RENAMED): node.output[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in before
    }


class Watcher(Runner):
    """A session that gives out tensors inside the model too."""

    def tensors(self, names: Collection[str], rows: Arrays) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Those of each row in turn; inputs are given in, and not out."""
        for row in single_rows([rows]):
            yield self.of_row(names, row)

    def of_row(self, names: Collection[str], row: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Those of one row, as long as it is given."""
        fetched = [each.name for each in self._session.get_outputs() if each.name in names]
        fed = self.feed(row)
        given = {name: values for name, values in fed.items() if name in names}
        return given | dict(zip(fetched, self._fetch(fetched, fed), strict=True))

    def _fetch(self, names: list[str], fed: Arrays) -> list[npt.NDArray[Any]]:
        try:
            return list(self._session.run(names, fed))
        except Exception as error:  # onnxruntime raises a class of its own for each of its status codes
            raise StageError(f"{self._path}: onnxruntime can't run it: {error}") from error


def giving_out(model: Any, names: Collection[str]) -> Any:
    """The model with these tensors among its outputs."""
    from onnx import TensorProto, helper

    there = {each.name for each in (*model.graph.input, *model.graph.output)}
    added = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in sorted(set(names) - there))
    model.graph.output.extend(added)
    return model


def _quantized(model: Any, ranges: Mapping[str, Range], kept: Collection[str], isa: str, *, per_channel: bool) -> Any:
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, TensorsData

    single = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        model,
        per_channel=per_channel,
        reduce_range=isa == "x86",
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if isa == "arm64" else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, single),
        nodes_to_quantize=[],
        nodes_to_exclude=sorted(kept),
        op_types_to_quantize=sorted(_operators() - set(kept)),
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()  # it adds its nodes behind those that read them
    return quantizer.model.model


def _operators() -> set[str]:
    """All that quantize_static would quantize; its defaults can't be asked for in another way."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return {*QDQRegistry, *QLinearOpsRegistry}


def _kept(model: Any, keep_float: Collection[str]) -> set[str]:
    known = {name for node in model.graph.node for name in (node.name, node.op_type) if name}
    for name in keep_float:
        if name not in known:
            raise BadInputError(
                f"quantize: found {name!r} to keep in float, which is no node or operator of the file",
                nearest(name, known),
            )
    behind = _activations_behind(model)
    return set(keep_float) | {behind[name].name for name in keep_float if name in behind}


def _quantizable(model: Any) -> set[str]:
    """The float tensors, without constants, that an operator reads or writes which can be quantized."""
    known, floats = _operators(), _float_names(model)
    constants = {each.name for each in model.graph.initializer}
    touched = {name for node in model.graph.node if node.op_type in known for name in (*node.input, *node.output)}
    return touched & floats - constants


def _float_names(model: Any) -> set[str]:
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    float_type = onnx.TensorProto.FLOAT
    described = (*graph.value_info, *graph.input, *graph.output)
    return {each.name for each in described if each.type.tensor_type.elem_type == float_type}


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name
