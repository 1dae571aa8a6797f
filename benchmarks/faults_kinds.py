"""The faults: what each changes in an artifact of any format. Each returns the name of the operator that it changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.faults_editor import Absent, Arrays, Editor, Given, Stored, one_of

#: Share of samples that a rare fault shows on.
RARE = 0.01


def scaled(editor: Editor, given: Given) -> str:
    stored = one_of(editor.weights(), given)
    editor.scale(stored, 1.01)
    return str(stored.operator)


def exchanged(editor: Editor, given: Given) -> str:
    stored = one_of([one for one in editor.weights() if one.array.shape[one.out_axis] > 1], given)
    array = np.moveaxis(stored.array.copy(), stored.out_axis, 0)
    array[[0, 1]] = array[[1, 0]]
    editor.put(stored, np.moveaxis(array, 0, stored.out_axis))
    return str(stored.operator)


def unbiased(editor: Editor, given: Given) -> str:
    stored = one_of(editor.biases(), given)
    editor.put(stored, np.zeros_like(stored.array))
    return str(stored.operator)


def unnormalised(editor: Editor, given: Given) -> str:
    """Batch normalisation left out: the kernel that the source holds, or ones and zeros in its place."""
    folded = _folded(editor, given)
    if folded:
        kernel, bias, source, _ = one_of(folded, given)
        editor.put(kernel, source)
        if bias is not None:
            editor.put(bias, np.zeros_like(bias.array))
        return str(kernel.operator)
    scale, shift, _ = one_of(_norms_apart(editor, given), given)
    editor.put(scale, np.ones_like(scale.array))
    if shift is not None:
        editor.put(shift, np.zeros_like(shift.array))
    return str(scale.operator)


def misjudged_epsilon(editor: Editor, given: Given) -> str:
    """1e-5 in place of 1e-3, or the other way round: what the frameworks' defaults are."""
    found = editor.epsilons()
    if found:
        operator, value = one_of(found, given)
        editor.set_epsilon(operator, _other_epsilon(value))
        return str(operator)
    folded = _folded(editor, given)
    if folded:
        kernel, bias, _, norm = one_of(folded, given)
        ratio = _ratio(norm)
        shape = [1] * kernel.array.ndim
        shape[kernel.out_axis] = -1
        editor.put(kernel, (kernel.array * ratio.reshape(shape)).astype(kernel.array.dtype))
        if bias is not None:
            flat = bias.array.reshape(-1)
            moved = norm["beta"] + (flat - norm["beta"]) * ratio
            editor.put(bias, moved.astype(bias.array.dtype).reshape(bias.array.shape))
        return str(kernel.operator)
    scale, shift, norm = one_of(_norms_apart(editor, given), given)
    ratio = _ratio(norm)
    editor.put(scale, (scale.array.reshape(-1) * ratio).astype(scale.array.dtype).reshape(scale.array.shape))
    if shift is not None:
        moved = norm["beta"] + (shift.array.reshape(-1) - norm["beta"]) * ratio
        editor.put(shift, moved.astype(shift.array.dtype).reshape(shift.array.shape))
    return str(scale.operator)


def _other_epsilon(value: float) -> float:
    return 1e-5 if value >= 1e-4 else 1e-3


def _ratio(norm: Arrays) -> np.ndarray:
    known = float(norm["epsilon"])
    found: np.ndarray = np.sqrt(norm["variance"] + known) / np.sqrt(norm["variance"] + _other_epsilon(known))
    return found


def _norms(given: Given) -> list[dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, value in given.weights.items():
        kind, _, rest = key.partition("/")
        if kind == "norm":
            name, _, part = rest.rpartition("/")
            found.setdefault(name, {})[part] = value
    return list(found.values())


def _factor(norm: Arrays) -> np.ndarray:
    found: np.ndarray = norm["gamma"] / np.sqrt(norm["variance"] + norm["epsilon"])
    return found


def _folded(editor: Editor, given: Given) -> list[tuple[Stored, Stored | None, np.ndarray, Arrays]]:
    """Kernels that hold a batch normalisation: kernel, bias, the source's kernel in its layout, the normalisation."""
    found: list[tuple[Stored, Stored | None, np.ndarray, Arrays]] = []
    biases = {one.operator: one for one in editor.biases()}
    kernels = [value for key, value in given.weights.items() if key.startswith("kernel/")]
    for stored in editor.weights():
        if stored.array.ndim < 4 or stored.array.dtype != np.float32:
            continue
        rows = np.moveaxis(stored.array, (stored.out_axis, stored.in_axis), (0, 1))
        for kernel in kernels:
            if kernel.size != rows.size or len(kernel) != len(rows):
                continue
            wanted = kernel.reshape(rows.shape)
            factor = np.sum(rows * wanted, axis=tuple(range(1, rows.ndim))) / np.sum(
                wanted * wanted, axis=tuple(range(1, rows.ndim))
            )
            if not np.allclose(rows, wanted * factor.reshape(-1, *[1] * (rows.ndim - 1)), rtol=1e-3, atol=1e-5):
                continue
            norm = next((one for one in _norms(given) if _same(_factor(one), factor)), None)
            if norm is not None and not np.allclose(factor, 1, rtol=1e-3):
                source = np.ascontiguousarray(np.moveaxis(wanted, (0, 1), (stored.out_axis, stored.in_axis)))
                bias = biases.get(stored.operator) or _bias_behind(editor, norm)
                found.append((stored, bias, source.astype(np.float32), norm))
    return found


def _bias_behind(editor: Editor, norm: Arrays) -> Stored | None:
    """The shift of a normalisation, where another operator adds it."""
    shift = norm["beta"] - norm["mean"] * _factor(norm)
    return next((one for one in editor.vectors() if _same(one.array.reshape(-1), shift)), None)


def _norms_apart(editor: Editor, given: Given) -> list[tuple[Stored, Stored | None, Arrays]]:
    """Normalisations with operators of their own: what multiplies, what adds."""
    found: list[tuple[Stored, Stored | None, Arrays]] = []
    vectors = editor.vectors()
    for norm in _norms(given):
        factor = _factor(norm)
        scale = next((one for one in vectors if _same(one.array.reshape(-1), factor)), None)
        if scale is None:
            continue
        shifts = (norm["beta"] - norm["mean"] * factor, norm["beta"])
        shift = next((one for one in vectors for wanted in shifts if _same(one.array.reshape(-1), wanted)), None)
        found.append((scale, shift, norm))
    return found


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.shape == right.shape and bool(np.allclose(left, right, rtol=1e-3, atol=1e-5))


def padded(editor: Editor, given: Given) -> str:
    return editor.shift_padding(one_of(editor.paddings(), given))


def unlimited(editor: Editor, given: Given) -> str:
    operator = one_of(editor.limits(), given)
    editor.lift(operator)
    return str(operator)


def misread(editor: Editor, given: Given) -> str:
    found = editor.transposes()
    if found:
        operator = one_of(found, given)
        editor.misread(operator)
        return str(operator)
    long = [
        name
        for name, shape, dtype in editor.inputs()
        if dtype == "float32" and len([one for one in shape[1:] if one and one > 1]) > 1 and None not in shape[1:]
    ]
    return editor.misread_input(one_of(long, given))


def reversed_channels(editor: Editor, given: Given) -> str:
    """Weights of the first convolution of three channels, as if red and blue had changed places before it."""
    if not any(value.ndim == 4 and 3 in (value.shape[1], value.shape[3]) for value in given.large.values()):
        raise Absent("no input is a picture in colour")
    found = [one for one in editor.weights() if one.array.ndim == 4 and one.array.shape[one.in_axis] == 3]
    if not found:
        raise Absent("no convolution takes three channels")
    editor.put(found[0], np.ascontiguousarray(np.flip(found[0].array, found[0].in_axis)))
    return found[0].operator


def other_axis(editor: Editor, given: Given) -> str:
    operator = one_of(editor.softmaxes(), given)
    editor.turn(operator)
    return str(operator)


def transposed_recurrence(editor: Editor, given: Given) -> str:
    """The matrix of every gate, found by its numbers in whatever layout."""
    kernels = [value for key, value in given.weights.items() if key.startswith("recurrent/")]
    for kernel in kernels:
        wanted = np.sort(kernel.reshape(-1))
        found = [
            one
            for one in editor.everything()
            if one.array.size == wanted.size and _same(np.sort(one.array.reshape(-1)), wanted)
        ]
        for stored in found:  # an unrolled loop has one for each step
            editor.put(stored, _gates_transposed(stored.array, min(kernel.shape)))
        if found:
            return found[0].operator
    raise Absent("no stored tensor is a recurrent kernel")


def _gates_transposed(array: np.ndarray, size: int) -> np.ndarray:
    square = array.squeeze()
    upright = square if square.shape[0] == size else square.T
    gates = np.split(upright, upright.shape[1] // size, axis=1)
    turned = np.concatenate([gate.T for gate in gates], axis=1)
    turned = turned if square.shape[0] == size else turned.T
    return np.ascontiguousarray(turned.reshape(array.shape))


def scaled_twice(editor: Editor, given: Given) -> str:
    names = [name for name, _, dtype in editor.inputs() if dtype.startswith("float")]
    return editor.scale_input(one_of(names, given), 1 / 255)


def zero_point(editor: Editor, given: Given) -> str:
    return editor.shift_zero_point(given.number)


def rounded(editor: Editor, _: Given) -> str:
    """Every stored number of floating point rounded to bf16."""
    found = [one for one in editor.everything() if one.array.dtype == np.float32 and one.array.size > 1]
    if not found:
        raise Absent("nothing is stored in float32")
    for stored in found:
        bits = np.ascontiguousarray(stored.array).view(np.uint32).astype(np.uint64)
        upper = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32)
        editor.put(stored, upper.view(np.float32).reshape(stored.array.shape))
    return ""


def fixed_batch(editor: Editor, _: Given) -> str:
    if all(shape and shape[0] is not None for name, shape, dtype in editor.inputs()):
        raise Absent("the batch is fixed already")
    editor.fix_batch()
    return ""


def reordered(editor: Editor, _: Given) -> str:
    editor.reorder_outputs()
    return ""


def rare(editor: Editor, given: Given) -> str:
    """NaN where the mean of an input lies in a band that holds a hundredth of all samples, anywhere among them."""
    name = one_of([one for one, _, _ in editor.inputs()], given)
    values = given.large[name].astype(np.float64)
    means, counts = np.unique(values.reshape(len(values), -1).mean(axis=1), return_counts=True)
    if len(means) < 3:
        raise Absent("no input varies")
    first = max(1, min(len(means) - 2, len(means) // 5 + given.number % max(1, 3 * len(means) // 5)))
    held = np.cumsum(counts[first:-1])
    last = first + min(int(np.searchsorted(held, RARE * len(values))), len(held) - 1)
    low, high = ((means[place] + means[place + 1]) / 2 for place in (first - 1, last))
    return editor.spoil(name, float(low), float(high))


#: What is done for each fault.
FAULTS: dict[str, Callable[[Editor, Given], str]] = {
    "weights scaled by 1.01": scaled,
    "two channels exchanged": exchanged,
    "bias dropped": unbiased,
    "batch norm dropped": unnormalised,
    "wrong epsilon": misjudged_epsilon,
    "padding on one side": padded,
    "ReLU6 to ReLU": unlimited,
    "channels last read as first": misread,
    "RGB and BGR": reversed_channels,
    "softmax over another axis": other_axis,
    "recurrent kernel transposed": transposed_recurrence,
    "input scaled by 1/255 twice": scaled_twice,
    "zero point off by one": zero_point,
    "bf16 passed off as fp32": rounded,
    "batch fixed to 1": fixed_batch,
    "outputs in another order": reordered,
    "NaN for one input in 100": rare,
}
