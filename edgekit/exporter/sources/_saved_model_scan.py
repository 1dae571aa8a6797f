"""Reads the graph of a SavedModel without loading it: which signatures it has, and what it would run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgekit.errors import ModelError

#: The file of the graph inside the folder.
GRAPH = "saved_model.pb"

#: Operators that call Python, or read or write files (tensorflow.org/api_docs/python/tf/raw_ops).
_REFUSED = frozenset(
    {
        *("PyFunc", "PyFuncStateless", "EagerPyFunc", "GeneratorDataset"),
        *("ReadFile", "WriteFile", "MatchingFiles", "PrintV2", "CreateSummaryFileWriter", "CreateSummaryDbWriter"),
        *("Save", "SaveV2", "SaveSlices", "Restore", "RestoreV2", "RestoreSlice", "MergeV2Checkpoints"),
        *("WholeFileReader", "WholeFileReaderV2", "TextLineReader", "TextLineReaderV2", "TFRecordReader"),
        *("TFRecordReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2", "LMDBReader"),
        *("TextLineDataset", "TFRecordDataset", "TFRecordDatasetV2", "FixedLengthRecordDataset"),
        *("FixedLengthRecordDatasetV2", "SqlDataset", "SaveDataset", "SaveDatasetV2", "LoadDataset"),
        *("SnapshotDataset", "SnapshotDatasetV2", "CSVDataset", "CSVDatasetV2"),
        *("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"),
    }
)

#: Signatures that are none of the user's.
_INNER = ("__saved_model_init_op", "__saved_model_train_op")


def read_graph(folder: Path) -> Any:
    """The ``MetaGraphDef`` for serving.

    Raises:
        ModelError: there is no graph, it is damaged, or none is for serving.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / GRAPH
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(path.read_bytes())
    except (FileNotFoundError, DecodeError) as err:
        raise ModelError(
            "not-a-saved-model",
            f"the folder holds no {GRAPH} that can be read.",
            received=", ".join(sorted(item.name for item in folder.iterdir())[:5]) or "an empty folder",
            hint="Save it again: model.export(folder) or tf.saved_model.save(model, folder).",
        ) from err
    for graph in model.meta_graphs:
        if "serve" in graph.meta_info_def.tags:
            return graph
    raise ModelError(
        "not-for-serving",
        "the SavedModel holds no graph for serving.",
        received=str([sorted(graph.meta_info_def.tags) for graph in model.meta_graphs]),
        hint="Save it with tf.saved_model.save(model, folder).",
    )


def signature_keys(graph: Any) -> tuple[str, ...]:
    """Signatures that can be called, in alphabetical order."""
    return tuple(sorted(key for key in graph.signature_def if key not in _INNER))


def refuse_code(graph: Any) -> None:
    """Refuse a graph that would call Python, touch files, or needs operators of a library of its own.

    Raises:
        ModelError: names the operators.
    """
    from tensorflow.python.framework import op_def_registry

    own = {function.signature.name for function in graph.graph_def.library.function}
    used = {node.op for node in _nodes(graph)}
    refused = sorted(used & _REFUSED)
    if refused:
        raise ModelError(
            "unsafe-operators",
            "the model reads or writes files or calls Python, and a model file never does that here.",
            received=f"operators {', '.join(refused)}",
            hint="Save it without them, or give --trust-code if you trust who made it.",
        )
    unknown = sorted(name for name in used - own if op_def_registry.get(name) is None)
    if unknown:
        raise ModelError(
            "custom-operators",
            "the model uses operators of a library of its own.",
            received=f"operators {', '.join(unknown)}",
            hint="Replace them by operators of TensorFlow; no deployment format has them.",
        )


def _nodes(graph: Any) -> Iterator[Any]:
    """What may run: what signatures and the start depend on, and what TensorFlow calls while it loads.

    A folder may hold other functions too. Nothing calls them here.
    """
    starts = [info.name for item in graph.signature_def.values() for info in item.outputs.values()]
    for key in ("saved_model_main_op", "legacy_init_op"):
        starts += graph.collection_def[key].node_list.value if key in graph.collection_def else []
    main = list(_reachable(graph.graph_def.node, starts))
    yield from main
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    todo = [*_called_on_load(graph.object_graph_def), *(name for node in main for name in _called(node))]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in seen and name in functions:
            seen.add(name)
            yield from functions[name].node_def
            todo += [called for node in functions[name].node_def for called in _called(node)]


def _called_on_load(objects: Any) -> Iterator[str]:
    """Functions by which objects make, fill and restore their resources; TensorFlow's own names begin with ``_``."""
    found: set[int] = set()
    for item in objects.nodes:
        found |= {child.node_id for child in item.children if child.local_name.startswith(("_", "initializer"))}
        for saveable in item.saveable_objects.values():
            found |= {saveable.save_function, saveable.restore_function}
    for index in found:
        item = objects.nodes[index]
        yield from item.function.concrete_functions
        yield item.bare_concrete_function.concrete_function_name


def _called(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        yield from (called.name for called in (value.func, *value.list.func) if called.name)


def _reachable(nodes: Iterable[Any], starts: Iterable[str]) -> Iterator[Any]:
    by_name = {node.name: node for node in nodes}
    todo, seen = [_node_name(start) for start in starts], set[str]()
    while todo:
        name = todo.pop()
        if name not in seen and name in by_name:
            seen.add(name)
            yield by_name[name]
            todo += [_node_name(source) for source in by_name[name].input]


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]
