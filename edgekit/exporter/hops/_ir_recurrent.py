"""OpenVINO to ONNX: recurrent layers. A cell is a sequence of one step.

OpenVINO puts the batch first everywhere, ONNX the steps or the direction. Gates come as forget, input, cell, output
in one and input, output, forget, cell in the other (lstm_sequence and gru_sequence, OpenVINO; LSTM and GRU, ONNX).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.exporter.hops._ir_writer import Translate, dtype_of, lengths, unsupported

if TYPE_CHECKING:
    from edgekit.exporter.hops._ir_writer import Writer

#: Order of ONNX' gates among OpenVINO's.
_GATES = {"LSTM": (1, 3, 0, 2), "GRU": (0, 1, 2), "RNN": (0,)}


def _sequence(w: Writer, op: Any, x: list[str]) -> Sequence[str]:
    kind = op.get_type_name().removesuffix("Sequence")
    states = 2 if kind == "LSTM" else 1
    counts = w.static(op, 1 + states)
    shape = lengths(op.input(0))
    full = counts is not None and shape is not None and set(counts.tolist()) == {shape[1]}
    steps = w.transpose(x[0], [1, 0, 2])
    begin = [w.transpose(value, [1, 0, 2]) for value in x[1 : 1 + states]]
    weights = _weights(w, op, kind, 2 + states)
    # The lengths are left out where they say the same as the input, or were derived from its shape.
    count = "" if full or _is_derived(op, 1 + states) else w.cast(x[1 + states], np.int32)
    outputs, *ends = w.add_many(kind, 1 + states, steps, *weights, count, *begin, **_settings(op, kind))
    return [w.transpose(outputs, [2, 1, 0, 3]), *(w.transpose(end, [1, 0, 2]) for end in ends)]


def _cell(w: Writer, op: Any, x: list[str]) -> Sequence[str]:
    kind = op.get_type_name().removesuffix("Cell")
    states = 2 if kind == "LSTM" else 1
    axis = w.constant([0])
    step, *begin = (w.add("Unsqueeze", value, axis) for value in x[: 1 + states])
    weights = _weights(w, op, kind, 1 + states, added=True)
    _, *ends = w.add_many(kind, 1 + states, step, *weights, "", *begin, **_settings(op, kind))
    return [w.add("Squeeze", end, axis) for end in ends]


def _weights(w: Writer, op: Any, kind: str, first: int, *, added: bool = False) -> list[str]:
    """Kernel, recurrent kernel and bias ``(direction, gate * hidden, …)`` in ONNX' order of gates."""
    hidden = int(op.get_attributes()["hidden_size"])
    names = []
    for index in range(first, first + 3):
        array = w.needed(op, index, "weights")
        array = array[None] if added else array
        parts = np.split(array, array.shape[1] // hidden, axis=1)
        if len(parts) < len(_GATES[kind]):
            raise unsupported(op, "this shape of weights")
        ordered = [parts[gate] for gate in _GATES[kind]]
        if index == first + 2:
            ordered += _second_bias(op, kind, parts)
        names.append(w.constant(np.concatenate(ordered, axis=1), dtype_of(op.input(0))))
    return names


def _second_bias(op: Any, kind: str, parts: list[np.ndarray]) -> list[np.ndarray]:
    """ONNX adds a bias to each kernel's product; OpenVINO keeps the two apart in one gate of one kind of GRU only."""
    second = [np.zeros_like(parts[0]) for _ in _GATES[kind]]
    if kind == "GRU" and op.get_attributes()["linear_before_reset"]:
        second[2] = parts[3]
    return second


def _settings(op: Any, kind: str) -> dict[str, Any]:
    flags = op.get_attributes()
    direction = str(flags.get("direction", "forward")).lower()
    repeat = 2 if direction == "bidirectional" else 1
    settings: dict[str, Any] = {
        "hidden_size": int(flags["hidden_size"]),
        "direction": direction,
        "activations": [name.capitalize() for name in flags["activations"]] * repeat,
    }
    if any(name not in ("Sigmoid", "Tanh", "Relu") for name in settings["activations"]):
        raise unsupported(op, f"the activations {', '.join(flags['activations'])}")
    if flags["clip"]:
        settings["clip"] = float(flags["clip"])
    if kind == "GRU":
        settings["linear_before_reset"] = int(flags["linear_before_reset"])
    return settings


def _is_derived(op: Any, index: int) -> bool:
    """Whether the lengths are the input's number of steps, repeated for the batch."""
    source = op.input_value(index).get_node()
    if source.get_type_name() != "Broadcast":
        return False
    shape = lengths(op.input(0))
    value = source.input_value(0).get_node()
    return value.get_type_name() == "Constant" and shape is not None and set(np.ravel(value.data)) == {shape[1]}


OPERATORS: dict[str, Translate] = {
    **dict.fromkeys(("GRUSequence", "LSTMSequence", "RNNSequence"), _sequence),
    **dict.fromkeys(("GRUCell", "LSTMCell", "RNNCell"), _cell),
}
