"""Take off what an exporter notes of its own work: stack traces, with the folders of whoever exported, and names."""

from __future__ import annotations

from typing import Any


def without_traces(model: Any) -> Any:
    """``model`` (an onnx.ModelProto) itself, without notes: it computes the same, whoever exported it and where."""
    _clear(model)
    for function in model.functions:
        _clear(function)
        _clear_nodes(function.node)
    _clear_graph(model.graph)
    return model


def _clear_graph(graph: Any) -> None:
    for each in (graph, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        _clear(each)
    _clear_nodes(graph.node)


def _clear_nodes(nodes: Any) -> None:
    for node in nodes:
        _clear(node)
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                _clear_graph(graph)


def _clear(each: Any) -> None:
    each.ClearField("metadata_props")
    each.ClearField("doc_string")
