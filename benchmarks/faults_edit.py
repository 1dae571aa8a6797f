"""Plant faults into one artifact: the job of one process.

    python benchmarks/faults_edit.py TARGET ENTRY FOLDER PLAN

``PLAN`` is a JSON file: ``weights`` and ``large`` as `faults_models` writes them, and ``wanted``, a list of pairs of a
fault's name and a number that chooses the place. Each fault is written into a folder of its own under ``FOLDER``, with
the format's own library. The process prints one line a fault: what was changed, or why the fault cannot be made.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults_editor import Absent, Editor, Given
from benchmarks.faults_kinds import FAULTS


def open_editor(target: str, path: Path) -> Editor:
    """Open an artifact to change it."""
    if target == "onnx":
        from benchmarks.faults_onnx import OnnxEditor

        return OnnxEditor(path)
    if target == "openvino":
        from benchmarks.faults_openvino import OpenVinoEditor

        return OpenVinoEditor(path)
    from benchmarks.faults_tflite import TfliteEditor

    return TfliteEditor(path)


def main() -> int:
    """Plant what is wanted."""
    target, entry, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    plan = json.loads(Path(sys.argv[4]).read_text())
    weights, large = dict(np.load(plan["weights"])), dict(np.load(plan["large"]))
    for index, (fault, number) in enumerate(plan["wanted"]):
        answer: dict[str, Any] = {"fault": fault, "number": number}
        try:
            editor = open_editor(target, entry)
            answer["operator"] = FAULTS[fault](editor, Given(weights, large, number))
            place = folder / str(index)
            place.mkdir(parents=True)
            answer["entry"] = str(editor.write(place))
            answer["graph"] = _graph(target, Path(answer["entry"]))
        except Absent as error:
            answer["absent"] = str(error)
        print(json.dumps(answer), flush=True)
    return 0


def _graph(target: str, entry: Path) -> list[dict[str, Any]]:
    """Operators with their tensors."""
    from edgekit.surgery.registry import surgeon_for

    return [asdict(operator) for operator in surgeon_for(target).read(entry).operators]


if __name__ == "__main__":
    sys.exit(main())
