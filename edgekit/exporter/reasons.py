"""Why a route failed, in one line that begins with the operator or layer at fault where the library's error tells.

A converter's message names an operator, Keras names a layer, a traceback names a line of the user's own file; the
rest of a page of text is left out. The patterns are those of the libraries that `edgekit.exporter.graph` lists.
"""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

from edgekit.errors import EdgekitError, UsageError

#: Characters of a message that are shown; the rest is in the traceback (``--debug``).
LONGEST = 400

_ANSI = re.compile(r"\x1b\[[0-9;]*m")

#: An operator by the words around it, the most telling first.
_OPERATORS = tuple(
    map(
        re.compile,
        (
            r"failed to legalize operation '([^']+)'",  # litert-converter
            r"Lowering not found: ([\w.]+)",  # litert-torch
            r"TF Select ops: (\w+)",  # litert-converter
            r"target=torch\.ops\.([\w.]+)\]",  # torch.onnx
            r"No ONNX function found for <OpOverload\(op='([^']+)'",  # torch.onnx
            r"No conversion rule found for operations?:? ([\w:.]+)",  # OpenVINO
            r"OpenVINO does not support the following ONNX operations: ([\w.:-]+)",
            r"builtin opcode '(\w+)'",  # TFLite
            r"unresolved custom op: (\w+)",  # TFLite
            r"Could not find an implementation for (\w+)",  # onnxruntime
            r"([\w.:]+)\(-?\d+\) is not a registered function/op",  # onnxruntime
            r"[Nn]o plugins? (?:registered )?for (?:JAX )?primitive:? '?(\w+)",  # jax2onnx
            r"`(\w+)` is not supported with",  # Keras
        ),
    )
)

#: jax2onnx has one file per operator; the innermost one of a traceback is at fault.
_PLUGIN = re.compile(r"jax2onnx/plugins/\w+/(?!core/)\w+/([a-z]\w+)\.py\", line \d+, in (?!_?lower_)")
_LAYER = re.compile(r"Exception encountered when calling (\w+)\.call\(\)")
_KERAS_LAYER = re.compile(r"keras/src/layers/[\w/]*?(\w+)\.py:\d+:\d+: note: called from")
_FRAME = re.compile(r"File \"([^\"]+\.py)\", line (\d+), in |^(\S+\.py):(\d+):\d+: note: called from", re.MULTILINE)
#: Files on a device: edgekit's own, the engines that were put there, and Python's.
_THERE = re.compile(r"\.pyz/|/sites/[0-9a-f]{16}/|/lib/python3\.\d+/")
_SITE = re.compile(r"\S*/site-packages/")
_LISTING = re.compile(r":? %\w+ = .*| : \[num_users=.*|\s*See the stack trace for more information\.")
_CULPRIT = re.compile(r"((?:operator|layer|line of yours) .+?): (.*)\Z", re.DOTALL)

#: Messages that say nothing to who does not know the library, in plain words.
_MEANINGS = {
    "failed to deserialize module": "the program holds an operator that this converter cannot read",
    "Failed to export flatbuffer": "an operator has no counterpart among TFLite's own",
}


def explain(error: EdgekitError) -> str:
    """An error of a conversion in one line, with what mends it where the user can.

    Args:
        error: as a job raised it; a note holds the traceback.
    """
    trace = _ANSI.sub("", "\n".join(getattr(error, "__notes__", ())))
    text = f"{error} {error.hint}" if isinstance(error, UsageError) else str(error)
    culprit = _culprit(text, trace)
    return f"{culprit}: {_plain(text, trace)}" if culprit else _plain(text, trace)


def split(reason: str) -> tuple[str, str]:
    """The operator or layer at fault, and the rest of what `explain` gave; the first is empty where unknown."""
    match = _CULPRIT.match(reason)
    return (match[1], match[2]) if match else ("", reason)


def _culprit(text: str, trace: str) -> str:
    operator, layer, place = _operator(text, trace), _layer(trace), _place(trace)
    if not (operator or layer or place):
        return ""
    parts = [f"operator {operator}" if operator else "", f"layer {layer}" if layer else ""]
    named = " in ".join(part for part in parts if part)
    return f"{named} ({place})" if named and place else named or f"line of yours {place}"


def _operator(text: str, trace: str) -> str:
    for where in (text, trace):
        for pattern in _OPERATORS:
            match = pattern.search(where)
            if match:
                return match[1]
    plugins = _PLUGIN.findall(trace)
    return plugins[-1] if plugins else ""


def _layer(trace: str) -> str:
    """The innermost layer: Keras names a layer after those that it holds."""
    found = _LAYER.findall(trace)
    own = _KERAS_LAYER.search(trace)
    name = own[1].replace("_", " ").title().replace(" ", "") if own else ""
    return found[0] if found else name


def _place(trace: str) -> str:
    """The innermost line of the user's own code."""
    frames = [(file or noted, line or at) for file, line, noted, at in _FRAME.findall(trace)]
    own = [(file, line) for file, line in frames if _of_user(file)]
    if not own:
        return ""
    noted = "note: called from" in trace and f"{own[0][0]}:{own[0][1]}:" in trace  # innermost first there
    file, line = own[0] if noted else own[-1]
    return f"{Path(file).name}, line {line}"


def _of_user(file: str) -> bool:
    path = Path(file)
    others = (Path(__file__).parents[1], Path(sysconfig.get_path("stdlib")))
    library = "site-packages" in path.parts or any(path.is_relative_to(place) for place in others)
    return path.is_absolute() and not library and not _THERE.search(file)


def _plain(text: str, trace: str) -> str:
    """The message without listings and paths of libraries."""
    wrapped = _LAYER.search(text)
    if wrapped:  # only the preface of Keras; the layer's own error follows it in the traceback
        after = (line.strip() for line in trace.partition(wrapped[0])[2].splitlines())
        text = text.replace(f"{wrapped[0]}.", next((line for line in after if len(line) > 1), wrapped[0]))
    for cryptic, plain in _MEANINGS.items():
        text = text.replace(cryptic, f"{cryptic} ({plain})")
    return _LISTING.sub("", _SITE.sub("", text)).strip().rstrip(":")[:LONGEST]
