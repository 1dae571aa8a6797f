"""The operator or layer at fault, from the errors that libraries really give."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import JobFailed, ModelError
from edgekit.exporter.reasons import explain, split


def _reason(message: str, trace: str = "") -> tuple[str, str]:
    error = JobFailed("job-failed", message, hint="Run again with --debug for the traceback.")
    error.add_note(trace)
    return split(explain(error))


@pytest.mark.parametrize(
    ("message", "operator"),
    [
        ("RuntimeError: Lowering not found: aten._linalg_svd.default", "aten._linalg_svd.default"),
        ("x: error: failed to legalize operation 'tfl.div' that was explicitly marked illegal: %3 = \"tfl", "tfl.div"),
        (
            "torch cannot export the model: Error when translating node %a : [num_users=1] = "
            "call_function[target=torch.ops.aten._linalg_eigh.default](args = (%b,))",
            "aten._linalg_eigh.default",
        ),
        ("Didn't find op for builtin opcode 'STABLEHLO_CONVOLUTION' version '1'.", "STABLEHLO_CONVOLUTION"),
    ],
)
def test_the_operator_of_a_converter_is_named(message: str, operator: str) -> None:
    culprit, rest = _reason(message)
    assert culprit == f"operator {operator}"
    assert rest
    assert "num_users" not in rest
    assert "%3" not in rest


def test_the_innermost_plugin_of_jax2onnx_is_the_operator() -> None:
    place = "/x/lib/python3/site-packages/jax2onnx/plugins/jax"
    trace = (
        f'  File "{place}/core/jit.py", line 124, in lower\n    lower(ctx)\n'
        f'  File "{place}/lax/svd.py", line 283, in lower\n    raise NotImplementedError("rank-2 only")\n'
    )
    assert _reason("NotImplementedError: rank-2 only", trace) == ("operator svd", "NotImplementedError: rank-2 only")


def test_keras_names_the_layer_and_the_traceback_the_users_line(tmp_path: Path) -> None:
    preface = "Exception encountered when calling Energy.call()."
    trace = (
        f'  File "{tmp_path / "mine.py"}", line 7, in call\n    return ops.svd(x)\n'
        f"NotImplementedError: {preface}\n\n\x1b[1m`svd` is not supported with openvino backend\x1b[0m\n\n"
        "Arguments received by Energy.call():\n"
    )
    culprit, rest = _reason(f"NotImplementedError: {preface}", trace)
    assert culprit == "operator svd in layer Energy (mine.py, line 7)"
    assert rest == "NotImplementedError: `svd` is not supported with openvino backend"


def test_a_message_without_an_operator_stays_as_it_is() -> None:
    assert _reason("the process died: it was killed") == ("", "the process died: it was killed")


def test_what_the_user_can_mend_keeps_its_hint() -> None:
    error = ModelError("free-size", "a fixed size is needed.", received="x=?x?", hint="Pin it: --input x=?x4")
    assert explain(error) == "a fixed size is needed. Received: x=?x?. Pin it: --input x=?x4"
