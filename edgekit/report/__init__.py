"""Views of results: terminal, Markdown, CSV and one self-contained HTML page.

The folder is named after the public function, so the module itself is callable: ``edgekit.report(...)`` works
before and after something has imported this package.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """A module may change its class (Python language reference, 3.3.2.1); this one forwards calls."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from edgekit.report.render import report

        return report(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
