"""ONNX on JAX: recurrent layers, written out step by step, since TFLite's converter takes no loops (LSTM, GRU, RNN)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.errors import ModelError
from edgekit.exporter.hops._graph_jax_node import Node, Operator

#: Most time steps: each is written out.
MOST_STEPS = 128

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

#: Activations of one direction where the node names none.
_DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}

Step = Callable[[Any, list[Any]], list[Any]]


def _recurrent(node: Node, x: list[Any]) -> Any:
    """Outputs ``(step, direction, batch, hidden)`` and the last states ``(direction, batch, hidden)``."""
    import jax.numpy as jnp

    x = [*x, *[None] * (8 - len(x))]
    if node.get("layout", 0) or node.get("clip", 0) or x[7] is not None or node.get("input_forget", 0):
        raise node.unsupported("another layout, clipping or peepholes")
    steps, batch, _ = x[0].shape
    if steps > MOST_STEPS:
        raise ModelError(
            "too-many-steps",
            f"this converter writes recurrent layers out step by step, at most {MOST_STEPS} fixed steps.",
            received=f"{steps} steps in node {node.name}",
            hint="Fix the number of steps with --input, or choose another --route.",
        )
    if x[4] is not None and set(node.fixed(x[4], "lengths").tolist()) != {steps}:
        raise node.unsupported("sequences of several lengths")
    hidden, states = node.get("hidden_size"), 2 if node.kind == "LSTM" else 1
    directions = x[1].shape[0]
    sequences, ends = [], []
    for index in range(directions):
        begin = [
            jnp.zeros((batch, hidden), x[0].dtype) if given is None else given[index] for given in x[5 : 5 + states]
        ]
        backwards = index == 1 or node.get("direction", "forward") == "reverse"
        bias = np.zeros((_GATES[node.kind] * 2 * hidden,), np.float32) if x[3] is None else x[3][index]
        step = _STEPS[node.kind](node, x[2][index], bias, _activations(node, index))
        outputs, end = _unroll(_project(node, x[0], x[1][index], bias), begin, step, backwards)
        sequences.append(outputs)
        ends.append(end)
    made = [jnp.stack(sequences, axis=1)]
    made += [jnp.stack([end[state] for end in ends]) for state in range(states)]
    return made[: max(node.outputs, 1)]


def _project(node: Node, values: Any, kernel: Any, bias: Any) -> list[Any]:
    """Every step's product with the kernel, in one product, and the first bias."""
    import jax.numpy as jnp

    steps, batch, size = values.shape
    first = bias[: _GATES[node.kind] * node.get("hidden_size")]
    whole = jnp.matmul(jnp.reshape(values, (steps * batch, size)), kernel.T) + first
    return [part.reshape(batch, -1) for part in jnp.split(whole, steps)]


def _unroll(inputs: list[Any], states: list[Any], step: Step, backwards: bool) -> tuple[Any, list[Any]]:
    import jax.numpy as jnp

    outputs = []
    for value in reversed(inputs) if backwards else inputs:
        states = step(value, states)
        outputs.append(states[0])
    return jnp.stack(outputs[::-1] if backwards else outputs), states


def _activations(node: Node, direction: int) -> list[Any]:
    """One function per use, in the order of the specification."""
    import jax
    import jax.numpy as jnp

    known = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}
    count = len(_DEFAULTS[node.kind])
    names = (node.get("activations") or _DEFAULTS[node.kind] * 2)[direction * count : (direction + 1) * count]
    if any(name.lower() not in known for name in names):
        raise node.unsupported(f"the activations {', '.join(names)}")
    return [known[name.lower()] for name in names]


def _lstm(node: Node, recurrent: Any, bias: Any, functions: list[Any]) -> Step:
    import jax.numpy as jnp

    second = bias[4 * node.get("hidden_size") :]
    gate, update, squash = functions

    def step(value: Any, states: list[Any]) -> list[Any]:
        before, cell = states
        i, o, f, c = jnp.split(value + jnp.matmul(before, recurrent.T) + second, 4, axis=-1)
        cell = gate(f) * cell + gate(i) * update(c)
        return [gate(o) * squash(cell), cell]

    return step


def _gru(node: Node, recurrent: Any, bias: Any, functions: list[Any]) -> Step:
    import jax.numpy as jnp

    hidden = node.get("hidden_size")
    second = bias[3 * hidden :]
    gate, update = functions

    def step(value: Any, states: list[Any]) -> list[Any]:
        (before,) = states
        z, r, h = jnp.split(value, 3, axis=-1)
        if node.get("linear_before_reset", 0):
            rz, rr, rh = jnp.split(jnp.matmul(before, recurrent.T) + second, 3, axis=-1)
            reset = gate(r + rr) * rh
        else:
            both = jnp.matmul(before, recurrent[: 2 * hidden].T) + second[: 2 * hidden]
            rz, rr = jnp.split(both, 2, axis=-1)
            reset = jnp.matmul(gate(r + rr) * before, recurrent[2 * hidden :].T) + second[2 * hidden :]
        share = gate(z + rz)
        return [(1 - share) * update(h + reset) + share * before]

    return step


def _rnn(node: Node, recurrent: Any, bias: Any, functions: list[Any]) -> Step:
    import jax.numpy as jnp

    second = bias[node.get("hidden_size") :]

    def step(value: Any, states: list[Any]) -> list[Any]:
        return [functions[0](value + jnp.matmul(states[0], recurrent.T) + second)]

    return step


_STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}

OPERATORS: dict[str, Operator] = dict.fromkeys(_STEPS, _recurrent)
