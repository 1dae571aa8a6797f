"""Which results a report can show."""

from __future__ import annotations

from edgekit.results import BenchResult, CheckResult, ExportResult, QuantizeResult, RunResult, SensitivityResult

#: A result that a report can show.
Document = ExportResult | QuantizeResult | SensitivityResult | CheckResult | BenchResult | RunResult

DOCUMENTS: tuple[type[Document], ...] = (
    ExportResult,
    QuantizeResult,
    SensitivityResult,
    CheckResult,
    BenchResult,
    RunResult,
)
