"""``edgekit.quantize`` with its defaults: the job of one process of the quantization benchmark.

    python benchmarks/quantization_edgekit.py KIT JSON

The JSON holds keyword arguments. Prints what ``edgekit quantize --json`` prints, without the timing beside the parent:
the benchmark times every tool's files together.
"""

from __future__ import annotations

import json
import sys

import edgekit
from edgekit.errors import EdgekitError


def main() -> int:
    """Quantize one kit."""
    try:
        result = edgekit.quantize(sys.argv[1], **json.loads(sys.argv[2]), pays=False)
    except EdgekitError as error:
        print(json.dumps({"error": {"message": error.message, "received": error.received}}))
    else:
        print(json.dumps(result.to_json()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
