"""Einsum with a stored weight as a matrix product: quantizers know no Einsum, and would leave its weight in float.

Keras writes every dense layer over more than one axis, attention's projections among them, as one. The product of
``abc,cde->abde`` is that of ``(a, b, c)`` and ``(c, d*e)``, reshaped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx
    import openvino


@dataclass(frozen=True)
class Product:
    """An Einsum as a product.

    Attributes:
        weight: ``(summed, made)``.
        kept: axes of the activation that stay, the first ones.
        summed, made: sizes of the last axes before and after.
    """

    weight: np.ndarray
    kept: int
    summed: tuple[int, ...]
    made: tuple[int, ...]


def as_product(equation: str, weight: np.ndarray) -> Product | None:
    """The product that an Einsum of an activation and a weight computes; None where it is another.

    Args:
        equation: such as ``abc,cde->abde``, the weight second.
        weight: of that shape.
    """
    inputs, _, output = equation.replace(" ", "").partition("->")
    first, _, second = inputs.partition(",")
    if not all(part.isalpha() and len(set(part)) == len(part) for part in (first, second, output)):
        return None
    summed = [letter for letter in first if letter in second]
    kept = [letter for letter in first if letter not in second]
    made = [letter for letter in second if letter not in first]
    if not summed or not made or first != "".join(kept + summed) or output != "".join(kept + made):
        return None
    sizes = dict(zip(second, weight.shape, strict=True))
    ordered = weight.transpose([second.index(letter) for letter in summed + made])
    depth = math.prod(sizes[letter] for letter in summed)
    return Product(
        np.ascontiguousarray(ordered.reshape(depth, -1)),
        len(kept),
        tuple(sizes[letter] for letter in summed),
        tuple(sizes[letter] for letter in made),
    )


def einsum_macs(equation: str, shapes: list[list[int]]) -> int:
    """Multiply-accumulates of an Einsum of two tensors: the product of the sizes of all letters; 0 for another."""
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if len(terms) != 2 or [len(term) for term in terms] != [len(shape) for shape in shapes]:
        return 0
    return math.prod(dict(zip("".join(terms), [*shapes[0], *shapes[1]], strict=True)).values())


def rewrite_onnx(model: onnx.ModelProto) -> None:
    """Make matrix products of Einsums with a stored weight, in place; the product has the name of the Einsum."""
    from onnx import numpy_helper

    stored = {weight.name: weight for weight in model.graph.initializer}
    nodes: list[Any] = []
    replaced = set()
    for node in model.graph.node:
        product = None
        if node.op_type == "Einsum" and len(node.input) == 2 and node.input[1] in stored:
            product = as_product(node.attribute[0].s.decode(), numpy_helper.to_array(stored[node.input[1]]))
        if product is None:
            nodes.append(node)
            continue
        made, weights = _nodes(node, product)
        nodes += made
        model.graph.initializer.extend(weights)
        replaced.add(node.input[1])
    used = {name for node in nodes for name in node.input}
    for name in sorted(replaced - used):
        model.graph.initializer.remove(stored[name])
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]  # they belong to the list to clear
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _nodes(node: Any, product: Product) -> tuple[list[Any], list[Any]]:
    """The product with reshapes around it where it needs them, and their weights."""
    from onnx import helper, numpy_helper

    source, target = node.input[0], node.output[0]
    name = f"{target}/weight"
    weights, before, after = [numpy_helper.from_array(product.weight, name)], [], []
    same = [0] * product.kept  # ONNX takes these sizes over
    if len(product.summed) > 1:
        weights.append(numpy_helper.from_array(np.array([*same, -1]), f"{target}/merged"))
        before = [helper.make_node("Reshape", [source, f"{target}/merged"], [f"{target}/flat"], f"{node.name}/Merge")]
        source = f"{target}/flat"
    if len(product.made) > 1:
        weights.append(numpy_helper.from_array(np.array([*same, *product.made]), f"{target}/split"))
        inputs = [f"{target}/product", f"{target}/split"]
        after = [helper.make_node("Reshape", inputs, [target], f"{node.name}/Split")]
        target = f"{target}/product"
    return [*before, helper.make_node("MatMul", [source, name], [target], node.name), *after], weights


def rewrite_openvino(model: openvino.Model) -> None:
    """The same for an OpenVINO model, in place."""
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Einsum" or node.get_input_size() != 2:
            continue
        constant = node.input_value(1).get_node()
        if constant.get_type_name() != "Constant":
            continue
        product = as_product(node.get_attributes()["equation"], constant.data)
        if product is None:
            continue
        name, result = node.get_friendly_name(), node.input_value(0)
        same = [0] * product.kept
        if len(product.summed) > 1:
            result = ops.reshape(result, np.array([*same, -1]), special_zero=True, name=f"{name}/Merge").output(0)
        weight = ops.constant(np.ascontiguousarray(product.weight.T), name=f"{name}/weight")
        result = ops.matmul(result, weight, False, True, name=name).output(0)  # GPTQ wants it so
        if len(product.made) > 1:
            result = ops.reshape(result, np.array([*same, *product.made]), special_zero=True, name=f"{name}/Split")
            result = result.output(0)
        names = node.output(0).get_names()
        node.output(0).replace(result)
        result.get_tensor().set_names(names)
