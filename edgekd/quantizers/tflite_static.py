"""Static INT8 for TFLite with ranges of our own: what a float file's tensors hold, and the INT8 file out of it.

litert-quantizer takes ranges from anywhere, as {tensor: {"min", "max"}}, so neither its moving average nor its
calibrator is used. Kernels fix some ranges: Softmax and Logistic give 0 to 1 (in steps of 1 / 256), Tanh -1 to 1, and
operators that move values around (Reshape, Concatenation) have one range for what they read and write.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.ranges import Histograms, Range, halves, merged
from edgekd.errors import BadInputError, MissingExtraError, StageError, nearest
from edgekd.runtimes.feeding import single_rows
from edgekd.runtimes.tflite import Runner, describe
from edgekd.tasks.base import Arrays

Ends = Literal["float", "int8", "uint8"]
SHIFT = 128  # from int8 to uint8
EVERYWHERE = ".*"


@dataclass(frozen=True, slots=True)
class _Call:
    """One operator of a file: its type there, litert-quantizer's name for that, and the names of what it writes."""

    op_type: str
    known_as: Any | None
    scope: str  # by which litert-quantizer's recipes find it
    name: str


def observe(source: Path, rows: Arrays) -> Histograms:
    """Run the float file on ``rows``, and return for each float tensor that it computes what it held.

    Raises:
        StageError: a tensor had values that are not finite.

    """
    even, odd = observe_halves(source, rows)
    return {name: merged(even[name], odd[name]) for name in even}


def observe_halves(source: Path, rows: Arrays) -> tuple[Histograms, Histograms]:
    """Return the same for the even and for the odd rows, by which a tensor can be found whose range a few rows decide.

    The file runs once, a row at a time, and a row's tensors are dropped before the next: memory doesn't grow with
    the rows.
    """
    places = {name: place for name, (place, _) in _computed(_read(source)).items()}
    try:
        return halves(places, _Watcher(source).tensors(places, rows))
    except ValueError as error:
        raise StageError(f"{source}: {error}", "look at the calibration rows that lead there") from error


def quantize(
    source: Path,
    target: Path,
    ranges: Mapping[str, Range],
    *,
    weights_by_error: bool = False,
    keep_float: Collection[str] = (),
    io: Ends = "float",
) -> None:
    """Write the float file ``source`` in INT8 with these ranges for its activations.

    ``ranges`` has those of all tensors that ``observe`` names. ``keep_float`` has operators ('SOFTMAX'), or names of
    single ones, which are those of their first output, that stay float. ``io`` says what the file takes and gives: with
    'int8' and 'uint8' whole numbers in the scale that ``scale_and_zero_point`` tells.

    With ``weights_by_error`` each channel of weights is clipped where its squared error should be least, by OCTAV (Sakr
    et al. 2022, https://arxiv.org/abs/2206.06501). In 8 bits that is 0 to 1 % less error than with the extremes.
    litert-quantizer's 'MSE' is no search, but a step of 0.054 root mean squares, with 2 to 75 times the error.

    Raises:
        BadInputError: ``keep_float`` names what the file doesn't have.
        MissingExtraError: litert-quantizer is not installed.
        StageError: a range is missing.

    """
    model = _read(source)
    computed = _computed(model)
    missing = sorted(computed.keys() - ranges.keys())
    if missing:
        raise StageError(f"{source}: no range is given for {', '.join(missing)}")
    recipe = _recipe(model, keep_float, weights_by_error=weights_by_error, io=io)
    from litert_quantizer import quantizer

    statistics = {name: _statistics(rank, ranges[name]) for name, (_, rank) in computed.items()}
    task = quantizer.Quantizer(str(source), recipe.get_quantization_recipe())
    made = task.quantize(statistics, enable_progress_report=False).quantized_model
    target.write_bytes(_in_uint8(made) if io == "uint8" else made)


def left_float(source: Path) -> list[str]:
    """Return the operators of ``source`` that litert-quantizer can't quantize.

    Raises:
        MissingExtraError: litert-quantizer is not installed.

    """
    model = _read(source)
    recipe = _recipe(model, (), weights_by_error=False, io="float")
    return sorted({each.op_type for each in _operators(model) if _stays_float(recipe, each)})


def scale_and_zero_point(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return name, type, scale and zero point of what the file takes ('input') and gives ('output').

    real = scale * (whole - zero_point); scale and zero point are None for float.
    """
    graph = describe(path)
    wanted = ("name", "dtype", "scale", "zero_point")
    ends = {"input": graph.inputs, "output": graph.outputs}
    return {end: [{key: getattr(each, key) for key in wanted} for each in tensors] for end, tensors in ends.items()}


class _Watcher(Runner):
    """An interpreter that keeps what it computes on the way.

    Without XNNPACK: to keep all tensors, that would run every operator as a graph of its own, and warns that it does.
    """

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        super().__init__(path, 1)
        self._interpreter = Interpreter(
            str(path),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        self._interpreter.allocate_tensors()

    def tensors(self, places: Mapping[str, int], rows: Arrays) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Those of each row in turn."""
        for row in single_rows([rows]):
            for name, values in self.feed(row).items():
                self._interpreter.set_tensor(self._index[name], values)
            self._interpreter.invoke()
            yield {name: self._interpreter.get_tensor(place) for name, place in places.items()}


def _read(source: Path) -> Any:
    try:
        from ai_edge_litert.tools import flatbuffer_utils
    except ImportError:
        raise MissingExtraError("ai-edge-litert", "litert", "reading a .tflite file") from None
    return flatbuffer_utils.read_model(str(source))


def _computed(model: Any) -> dict[str, tuple[int, int]]:
    """The float tensors that are not constants, each with its place and its number of dimensions."""
    from ai_edge_litert.schema_py_generated import TensorType

    graph = model.subgraphs[0]
    places = sorted({*graph.inputs, *(place for call in graph.operators for place in call.outputs)})
    tensors = [(place, graph.tensors[place]) for place in places]
    return {
        each.name.decode(): (place, 0 if each.shape is None else len(each.shape))
        for place, each in tensors
        if each.type == TensorType.FLOAT32
    }


def _statistics(rank: int, found: Range) -> dict[str, npt.NDArray[np.float32]]:
    """One number for the whole tensor, with the tensor's number of dimensions, as constants are broadcast to it."""
    low, high = (np.full((1,) * rank, end, np.float32) for end in found)
    return {"min": low, "max": high}


def _operators(model: Any) -> list[_Call]:
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from litert_quantizer.utils import tfl_flatbuffer_utils

    names = {value: name for name, value in vars(BuiltinOperator).items() if isinstance(value, int)}
    tensors, found = model.subgraphs[0].tensors, []
    for call in model.subgraphs[0].operators:
        code = model.operatorCodes[call.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        scope = tfl_flatbuffer_utils.get_op_scope(call, tensors)
        name = tensors[call.outputs[0]].name.decode() if len(call.outputs) else ""
        found.append(_Call(names[number], tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME.get(number), scope, name))
    return found


def _recipe(model: Any, keep_float: Collection[str], *, weights_by_error: bool, io: Ends) -> Any:
    try:
        from litert_quantizer import algorithm_manager, qtyping, recipe_manager
    except ImportError:
        raise MissingExtraError("litert-quantizer", "tflite", "INT8 for TFLite") from None

    names, algorithms = qtyping.TFLOperationName, algorithm_manager.AlgorithmName
    by_error = (names.CONV_2D, names.DEPTHWISE_CONV_2D, names.FULLY_CONNECTED) if weights_by_error else ()
    manager = recipe_manager.RecipeManager()
    kept = [(EVERYWHERE, names.INPUT), (EVERYWHERE, names.OUTPUT)] if io == "float" else []
    kept += [(f"^{re.escape(each.scope)}$", each.known_as) for each in _kept(model, keep_float) if each.known_as]
    bits = {"activation_num_bits": 8, "weight_num_bits": 8}
    manager.add_static_config(EVERYWHERE, names.ALL_SUPPORTED, **bits)
    for operation in by_error:
        manager.add_static_config(EVERYWHERE, operation, **bits, algorithm_key=algorithms.OCTAV)
    for scope, operation in kept:
        manager.add_quantization_config(scope, operation, algorithm_key=algorithms.NO_QUANTIZE)
    return manager


def _kept(model: Any, keep_float: Collection[str]) -> list[_Call]:
    calls = _operators(model)
    known = {name for each in calls for name in (each.op_type, each.name)}
    for name in keep_float:
        if name not in known:
            found = f"quantize: found {name!r} to keep in float, which is no operator of the file"
            raise BadInputError(found, nearest(name, known))
    return [each for each in calls if {each.op_type, each.name} & set(keep_float)]


def _stays_float(recipe: Any, call: _Call) -> bool:
    from litert_quantizer.algorithm_manager import AlgorithmName

    if call.known_as is None:
        return True
    algorithm, _ = recipe.get_quantization_configs(call.known_as, call.scope)
    return bool(algorithm == AlgorithmName.NO_QUANTIZE)


def _in_uint8(content: bytes) -> bytes:
    """Return a file with int8 ends with uint8 ones: a QUANTIZE behind each input, and one before each output."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    graph = model.subgraphs[0]
    for number, place in enumerate(graph.inputs):
        if _is_int8(graph.tensors[place]):
            graph.inputs[number] = _unsigned_twin(model, place, "inputs")
            graph.operators.insert(0, _requantize(model, graph.inputs[number], place))
    for number, place in enumerate(graph.outputs):
        if _is_int8(graph.tensors[place]):
            graph.outputs[number] = _unsigned_twin(model, place, "outputs")
            graph.operators.append(_requantize(model, place, graph.outputs[number]))
    for buffer in model.buffers:
        if buffer.data is not None:  # arrays are packed at once, anything else byte by byte
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _is_int8(tensor: Any) -> bool:
    from ai_edge_litert.schema_py_generated import TensorType

    return bool(tensor.type == TensorType.INT8)


def _unsigned_twin(model: Any, place: int, end: str) -> int:
    """Add a tensor like that at ``place``, but unsigned; it takes over the name, and its place in the signatures."""
    from ai_edge_litert.schema_py_generated import TensorType

    tensors = model.subgraphs[0].tensors
    tensors.append(copy.copy(tensors[place]))
    twin, added = tensors[-1], len(tensors) - 1
    twin.quantization = copy.copy(twin.quantization)
    twin.quantization.zeroPoint = [int(zero) + SHIFT for zero in twin.quantization.zeroPoint]
    twin.type, twin.buffer = TensorType.UINT8, 0
    tensors[place].name += b"_int8"
    for entry in (each for signature in model.signatureDefs or () for each in getattr(signature, end)):
        if entry.tensorIndex == place:
            entry.tensorIndex = added
    return added


def _requantize(model: Any, source: int, target: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema
    from litert_quantizer.transformations.transformation_utils import add_op_code

    call = schema.OperatorT()
    call.opcodeIndex = add_op_code(schema.BuiltinOperator.QUANTIZE, model.operatorCodes)
    call.inputs, call.outputs = [source], [target]
    return call
