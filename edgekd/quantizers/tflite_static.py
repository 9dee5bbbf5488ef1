"""Static INT8 for TFLite with ranges of our own: what a float file's tensors hold, and the INT8 file out of it.

litert-quantizer takes ranges from anywhere, as {tensor: {"min", "max"}}, so neither its moving average nor its
calibrator is used. Kernels fix some ranges: Softmax and Logistic give 0 to 1 (in steps of 1 / 256), Tanh -1 to 1, and
operators that move values around (Reshape, Concatenation) have one range for what they read and write.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgekd.algorithms.ranges import Histograms, Range, halves, merged
from edgekd.algorithms.sensitivity import Operator
from edgekd.errors import BadInputError, MissingExtraError, StageError, nearest
from edgekd.quantizers.tflite_uint8 import in_uint8
from edgekd.runtimes.feeding import single_rows
from edgekd.runtimes.tflite import Runner, describe
from edgekd.tasks.base import Arrays

Ends = Literal["float", "int8", "uint8"]
EVERYWHERE = ".*"


@dataclass(frozen=True, slots=True)
class Call:
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
    places = {name: place for name, (place, _) in _computed(read(source)).items()}
    try:
        return halves(places, Watcher(source).tensors(places, rows))
    except ValueError as error:
        raise StageError(f"{source}: {error}", "look at the calibration rows that lead there") from error


def quantize(
    source: Path,
    target: Path,
    ranges: Mapping[str, Range],
    *,
    per_channel: bool = True,
    keep_float: Collection[str] = (),
    io: Ends = "float",
) -> None:
    """Write the float file ``source`` in INT8 with these ranges for its activations.

    ``ranges`` has those of all tensors that ``observe`` names. ``keep_float`` has operators ('SOFTMAX'), or names of
    single ones, which are those of their first output, that stay float. ``io`` says what the file takes and gives: with
    'int8' and 'uint8' whole numbers in the scale that ``scale_and_zero_point`` tells.

    Raises:
        BadInputError: ``keep_float`` names what the file doesn't have.
        MissingExtraError: litert-quantizer is not installed.
        StageError: a range is missing.

    """
    model = read(source)
    computed = _computed(model)
    missing = sorted(computed.keys() - ranges.keys())
    if missing:
        raise StageError(f"{source}: no range is given for {', '.join(missing)}")
    recipe = _recipe(model, keep_float, io=io, per_channel=per_channel)
    from litert_quantizer import quantizer

    statistics = {name: as_statistics(rank, ranges[name]) for name, (_, rank) in computed.items()}
    task = quantizer.Quantizer(str(source), recipe.get_quantization_recipe())
    made = task.quantize(statistics, enable_progress_report=False).quantized_model
    target.write_bytes(in_uint8(made) if io == "uint8" else made)


def left_float(source: Path) -> list[str]:
    """Return the operators of ``source`` that litert-quantizer can't quantize.

    Raises:
        MissingExtraError: litert-quantizer is not installed.

    """
    model = read(source)
    recipe = _recipe(model, (), io="float")
    return sorted({each.op_type for each in calls(model) if _stays_float(recipe, each)})


def scale_and_zero_point(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return name, type, scale and zero point of what the file takes ('input') and gives ('output').

    real = scale * (whole - zero_point); scale and zero point are None for float.
    """
    graph = describe(path)
    wanted = ("name", "dtype", "scale", "zero_point")
    ends = {"input": graph.inputs, "output": graph.outputs}
    return {end: [{key: getattr(each, key) for key in wanted} for each in tensors] for end, tensors in ends.items()}


def operators(source: Path) -> list[Operator]:
    """The operators of ``source`` that ``quantize`` would quantize, by what they read and write besides constants."""
    model = read(source)
    recipe, computed = _recipe(model, (), io="float"), _computed(model)
    graph = model.subgraphs[0]
    names = [each.name.decode() for each in graph.tensors]
    return [
        Operator(call.name, tuple(names[place] for place in raw.inputs if names[place] in computed), call.name)
        for call, raw in zip(calls(model), graph.operators, strict=True)
        if call.name in computed and not _stays_float(recipe, call)
    ]


def tensors(source: Path, rows: Arrays) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """What the tensors of a file, in float or INT8, hold for each row, as real numbers."""
    scales = _scales(read(source))
    places = {name: place for name, (place, _, _) in scales.items()}
    for found in Watcher(source).tensors(places, rows):
        yield {
            name: values if scales[name][1] == 0 else scales[name][1] * (values.astype(np.float64) - scales[name][2])
            for name, values in found.items()
        }


def _scales(model: Any) -> dict[str, tuple[int, float, int]]:
    """Place, scale and zero point of what a file computes; the scale is 0 for float."""
    graph = model.subgraphs[0]
    made: dict[str, tuple[int, float, int]] = {}
    for place in sorted({*graph.inputs, *(place for call in graph.operators for place in call.outputs)}):
        tensor = graph.tensors[place]
        known = tensor.quantization
        whole = known is not None and known.scale is not None and len(known.scale) == 1
        scale = (float(known.scale[0]), int(known.zeroPoint[0])) if whole else (0.0, 0)
        made[tensor.name.decode()] = (place, *scale)
    return made


class Watcher(Runner):
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


def read(source: Path) -> Any:
    """The file as objects."""
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


def as_statistics(rank: int, found: Range) -> dict[str, npt.NDArray[np.float32]]:
    """One number for the whole tensor, with the tensor's number of dimensions, as constants are broadcast to it."""
    low, high = (np.full((1,) * rank, end, np.float32) for end in found)
    return {"min": low, "max": high}


def calls(model: Any) -> list[Call]:
    """Its operators, in the order in which they run."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from litert_quantizer.utils import tfl_flatbuffer_utils

    names = {value: name for name, value in vars(BuiltinOperator).items() if isinstance(value, int)}
    tensors, found = model.subgraphs[0].tensors, []
    for call in model.subgraphs[0].operators:
        code = model.operatorCodes[call.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        scope = tfl_flatbuffer_utils.get_op_scope(call, tensors)
        name = tensors[call.outputs[0]].name.decode() if len(call.outputs) else ""
        found.append(Call(names[number], tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME.get(number), scope, name))
    return found


def kept_in_float(manager: Any, source: Path, keep_float: Collection[str]) -> None:
    """Add to a recipe that these operators of ``source`` stay in float.

    Raises:
        BadInputError: ``keep_float`` names what the file doesn't have.

    """
    if keep_float:
        _keep(manager, read(source), keep_float)


def _keep(manager: Any, model: Any, keep_float: Collection[str]) -> None:
    from litert_quantizer.algorithm_manager import AlgorithmName

    for each in _kept(model, keep_float):
        if each.known_as:
            manager.add_quantization_config(
                f"^{re.escape(each.scope)}$", each.known_as, algorithm_key=AlgorithmName.NO_QUANTIZE
            )


def _recipe(model: Any, keep_float: Collection[str], *, io: Ends, per_channel: bool = True) -> Any:
    try:
        from litert_quantizer import algorithm_manager, qtyping, recipe_manager
    except ImportError:
        raise MissingExtraError("litert-quantizer", "tflite", "INT8 for TFLite") from None

    names = qtyping.TFLOperationName
    manager = recipe_manager.RecipeManager()
    granularity = qtyping.QuantGranularity.CHANNELWISE if per_channel else qtyping.QuantGranularity.TENSORWISE
    bits = {"activation_num_bits": 8, "weight_num_bits": 8, "weight_granularity": granularity}
    manager.add_static_config(EVERYWHERE, names.ALL_SUPPORTED, **bits)
    for operation in (names.INPUT, names.OUTPUT) if io == "float" else ():
        manager.add_quantization_config(
            EVERYWHERE, operation, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE
        )
    _keep(manager, model, keep_float)
    return manager


def _kept(model: Any, keep_float: Collection[str]) -> list[Call]:
    found = calls(model)
    known = {name for each in found for name in (each.op_type, each.name)}
    for name in keep_float:
        if name not in known:
            problem = f"quantize: found {name!r} to keep in float, which is no operator of the file"
            raise BadInputError(problem, nearest(name, known))
    return [each for each in found if {each.op_type, each.name} & set(keep_float)]


def _stays_float(recipe: Any, call: Call) -> bool:
    from litert_quantizer.algorithm_manager import AlgorithmName

    if call.known_as is None:
        return True
    algorithm, _ = recipe.get_quantization_configs(call.known_as, call.scope)
    return bool(algorithm == AlgorithmName.NO_QUANTIZE)
