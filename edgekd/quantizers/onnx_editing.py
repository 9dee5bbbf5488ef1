"""Change an ONNX graph in place: find by name what makes and reads a tensor, replace nodes and constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekd.errors import BadInputError

QUANTIZED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "ConvInteger",
    "QLinearConv",
)
CONTRIBUTED = "com.microsoft"  # onnxruntime's own operators


class Editor:
    """A model that is being changed, without graphs inside its nodes. Edits take effect at once."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.constants: dict[str, Any] = {each.name: each for each in model.graph.initializer}
        self._index()

    @classmethod
    def open(cls, path: Path) -> Editor:
        """Read a file."""
        import onnx

        return cls(onnx.load(path))

    @property
    def nodes(self) -> list[Any]:
        """All nodes in the order in which they stand, safe to walk while they change."""
        return list(self.model.graph.node)

    def of_type(self, *op_types: str) -> list[Any]:
        """The nodes of these types."""
        return [node for node in self.nodes if node.op_type in op_types]

    def producer(self, name: str) -> Any | None:
        """The node that writes ``name``; None for an input or a constant."""
        return self._producers.get(name)

    def users(self, name: str) -> list[Any]:
        """The nodes that read ``name``, each once."""
        return self._users.get(name, [])

    def only_user(self, node: Any) -> Any | None:
        """The one node that reads the first output of ``node``, unless the graph gives it out."""
        users = self.users(node.output[0])
        return users[0] if len(users) == 1 and node.output[0] not in self.outputs else None

    @property
    def outputs(self) -> set[str]:
        """What the graph gives out."""
        return {each.name for each in self.model.graph.output}

    def value(self, name: str) -> npt.NDArray[Any] | None:
        """A constant's values; None if ``name`` is none."""
        return self.constant(name) if name in self.constants else None

    def constant(self, name: str) -> npt.NDArray[Any]:
        """The values of a constant that is known to be one."""
        from onnx import numpy_helper

        return numpy_helper.to_array(self.constants[name])

    def put(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add the constant ``name``, or give it other values."""
        from onnx import numpy_helper

        stored = numpy_helper.from_array(np.ascontiguousarray(values), name)
        if name in self.constants:
            self.constants[name].CopyFrom(stored)
        else:
            self.model.graph.initializer.append(stored)
            self.constants[name] = self.model.graph.initializer[-1]
        return name

    def rename_reads(self, nodes: Iterable[Any], old: str, new: str) -> None:
        """Let ``nodes`` read ``new`` where they read ``old``."""
        for node in nodes:
            for position, name in enumerate(node.input):
                if name == old:
                    node.input[position] = new
        self._index()

    def insert(self, nodes: Sequence[Any], after: Any | None = None) -> None:
        """Add ``nodes`` behind the node ``after``, or in front of all."""
        position = 0 if after is None else self._position(after) + 1
        for offset, node in enumerate(nodes):
            self.model.graph.node.insert(position + offset, node)
        self._index()

    def replace(self, node: Any, nodes: Sequence[Any]) -> None:
        """Put ``nodes`` in the place of ``node``."""
        position = self._position(node)
        del self.model.graph.node[position]
        for offset, each in enumerate(nodes):
            self.model.graph.node.insert(position + offset, each)
        self._index()

    def save(self, path: Path) -> None:
        """Write the model without nodes and constants that nothing reads, its intermediate shapes left out."""
        import onnx

        self._prune()
        del self.model.graph.value_info[:]  # shapes may have changed
        onnx.save(self.model, path)

    def use_contributed(self) -> None:
        """Declare onnxruntime's own operators."""
        import onnx

        if all(entry.domain != CONTRIBUTED for entry in self.model.opset_import):
            self.model.opset_import.append(onnx.helper.make_opsetid(CONTRIBUTED, 1))

    def _position(self, node: Any) -> int:
        return next(position for position, each in enumerate(self.model.graph.node) if each is node)

    def _prune(self) -> None:
        graph, read = self.model.graph, set(self.outputs)
        for position in reversed(range(len(graph.node))):
            if read.intersection(graph.node[position].output):
                read.update(graph.node[position].input)
            else:
                del graph.node[position]
        for position in reversed(range(len(graph.initializer))):
            if graph.initializer[position].name not in read:
                del graph.initializer[position]
        self.constants = {each.name: each for each in graph.initializer}
        self._index()

    def _index(self) -> None:
        self._producers = {name: node for node in self.model.graph.node for name in node.output}
        self._users: dict[str, list[Any]] = defaultdict(list)
        for node in self.model.graph.node:
            for name in dict.fromkeys(node.input):
                self._users[name].append(node)


def refuse_unfit(path: Path) -> None:
    """Refuse a file that can't be quantized: one that is already, or has weights that are not finite.

    Raises:
        BadInputError: with the first operator or weight.

    """
    editor = Editor.open(path)
    for node in editor.nodes:
        if node.op_type in QUANTIZED:
            raise BadInputError(
                f"quantize: found {node.op_type} ({node.name}) in {path}, expected float: it is quantized already"
            )
    for name in editor.constants:
        values = editor.constant(name)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            broken = int((~np.isfinite(values)).sum())
            raise BadInputError(
                f"quantize: found {broken} of {values.size} values of {name!r} in {path} that are NaN or infinite",
                "train again with a lower learning rate",
            )


def attribute(node: Any, name: str, default: Any = None) -> Any:
    """The value of a node's attribute."""
    from onnx import helper

    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)
