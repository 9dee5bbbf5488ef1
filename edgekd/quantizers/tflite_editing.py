"""Change a TFLite graph in place: find by place what makes and reads a tensor, change constants, add operators."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.errors import MissingExtraError

Values = npt.NDArray[np.float32]
NOTHING = -1  # the place of an input that is left out


class Editor:
    """A file's first graph that is being changed. Tensors are known by their place in it; edits take effect at once."""

    def __init__(self, model: Any) -> None:
        from ai_edge_litert.schema_py_generated import BuiltinOperator

        self.model, self.graph = model, model.subgraphs[0]
        self._kinds: dict[int, str] = {
            value: name for name, value in vars(BuiltinOperator).items() if isinstance(value, int)
        }
        self._index()

    @classmethod
    def open(cls, path: Path) -> Editor:
        """Read a file.

        Raises:
            MissingExtraError: ai-edge-litert is not installed.

        """
        try:
            from ai_edge_litert.tools import flatbuffer_utils
        except ImportError:
            raise MissingExtraError("ai-edge-litert", "litert", "changing a .tflite file") from None
        return cls(flatbuffer_utils.read_model(str(path)))

    def packed(self, outputs: Sequence[int] = ()) -> bytes:
        """The file's content; with ``outputs``, tensors at these places stand behind its own outputs."""
        from ai_edge_litert.tools import flatbuffer_utils

        for buffer in self.model.buffers:
            if buffer.data is not None:  # arrays are packed at once, anything else byte by byte
                buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
        own = self.graph.outputs
        self.graph.outputs = [*own, *outputs]
        try:
            return bytes(flatbuffer_utils.convert_object_to_bytearray(self.model))
        finally:
            self.graph.outputs = own

    @property
    def operators(self) -> list[Any]:
        """All operators in the order in which they run, safe to walk while they change."""
        return list(self.graph.operators)

    def kind(self, operator: Any) -> str:
        """The builtin operator's name ('FULLY_CONNECTED')."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return self._kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def of_kind(self, kind: str) -> list[Any]:
        """The operators of this kind."""
        return [each for each in self.operators if self.kind(each) == kind]

    def name(self, place: int) -> str:
        """The tensor's name."""
        return str(self.graph.tensors[place].name.decode())

    def shape(self, place: int) -> tuple[int, ...]:
        """The tensor's sizes."""
        found = self.graph.tensors[place].shape
        return () if found is None else tuple(int(size) for size in found)

    def producer(self, place: int) -> Any | None:
        """The operator that writes the tensor; None for an input or a constant."""
        return self._producers.get(place)

    def users(self, place: int) -> list[Any]:
        """The operators that read the tensor, each once."""
        return self._users[place]

    def only_user(self, operator: Any) -> Any | None:
        """The one operator that reads the first output of ``operator``, unless the graph gives it out."""
        place = operator.outputs[0]
        users = self.users(place)
        return users[0] if len(users) == 1 and not self.given_out(place) else None

    def given_out(self, place: int) -> bool:
        """Whether it is an output of the graph."""
        return place in self.graph.outputs

    def constant(self, place: int) -> Values | None:
        """The values of a constant in float; None for anything else."""
        from ai_edge_litert.schema_py_generated import TensorType

        if place == NOTHING or place in self._producers or self.graph.tensors[place].type != TensorType.FLOAT32:
            return None
        stored = self.model.buffers[self.graph.tensors[place].buffer].data
        if stored is None or len(stored) == 0:
            return None
        return np.frombuffer(bytes(stored), np.float32).reshape(self.shape(place))

    def change(self, operator: Any, position: int, values: npt.NDArray[Any]) -> None:
        """Give ``operator`` other values for the constant at an input; others that read the same keep theirs."""
        place = operator.inputs[position]
        if len(self.users(place)) > 1 or self.given_out(place):
            place = self._twin(place, f"_of_{self.name(operator.outputs[0])}")
            operator.inputs[position] = place
        tensor = self.graph.tensors[place]
        if Counter(each.buffer for graph in self.model.subgraphs for each in graph.tensors)[tensor.buffer] > 1:
            tensor.buffer = self._new_buffer()
        self.model.buffers[tensor.buffer].data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
        self.reshape(place, values.shape)
        self._index()

    def reshape(self, place: int, shape: tuple[int, ...]) -> None:
        """Give the tensor other sizes."""
        tensor = self.graph.tensors[place]
        tensor.shape, tensor.shapeSignature = list(shape), None

    def multiply(self, place: int, factors: Values, users: list[Any], suffix: str) -> None:
        """Let ``users`` read the tensor times ``factors`` instead of the tensor."""
        from ai_edge_litert import schema_py_generated as schema

        made, constant = self._twin(place, suffix), self._twin(place, f"{suffix}_factors")
        self.graph.tensors[constant].buffer = self._new_buffer()
        call = schema.OperatorT()
        call.opcodeIndex = self._code("MUL")
        call.builtinOptionsType, call.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
        call.inputs, call.outputs = [place, constant], [made]
        for user in users:
            user.inputs = [made if each == place else each for each in user.inputs]
        self._insert_behind(place, call)
        self.change(call, 1, factors)

    def _twin(self, place: int, suffix: str) -> int:
        """Add a tensor like that at ``place``."""
        twin = copy.copy(self.graph.tensors[place])
        twin.name += suffix.encode()
        self.graph.tensors.append(twin)
        return len(self.graph.tensors) - 1

    def _new_buffer(self) -> int:
        from ai_edge_litert.schema_py_generated import BufferT

        self.model.buffers.append(BufferT())
        return len(self.model.buffers) - 1

    def _code(self, kind: str) -> int:
        """Where the file lists this kind of operator; it is added with its first version."""
        from ai_edge_litert import schema_py_generated as schema

        number = next(number for number, name in self._kinds.items() if name == kind)
        known = [max(each.builtinCode, each.deprecatedBuiltinCode) for each in self.model.operatorCodes]
        if number not in known:
            code = schema.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = number  # the old field has room for the first 127
            self.model.operatorCodes.append(code)
            known.append(number)
        return known.index(number)

    def _insert_behind(self, place: int, call: Any) -> None:
        """Operators run in the order in which they stand."""
        before = next(number for number, each in enumerate(self.graph.operators) if place in each.outputs)
        self.graph.operators.insert(before + 1, call)
        self._index()

    def _index(self) -> None:
        self._producers = {place: each for each in self.graph.operators for place in each.outputs}
        self._users: dict[int, list[Any]] = defaultdict(list)
        for each in self.graph.operators:
            for place in dict.fromkeys(each.inputs):
                self._users[place].append(each)
