"""The pytest plugin: ``pytest --edgekit``, the fixtures ``assert_parity`` and ``assert_golden``, a summary line.

pytest imports this file in every run of an environment that has edgekit. It imports nothing but the standard library,
and pytest itself only inside functions, since edgekit works without it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from edgekit.testing.asserts import AssertGolden, AssertParity

#: Where one test keeps its outcomes, so that they travel between the processes of pytest-xdist and to reports.
PROPERTY = "edgekit"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--edgekit`` and ``--edgekit-update``."""
    group = parser.getgroup("edgekit", "models and their artifacts")
    group.addoption("--edgekit", action="store_true", help="run the tests that use assert_parity or assert_golden")
    group.addoption(
        "--edgekit-update", action="store_true", help="write golden results that are missing or no longer hold"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Offer the fixtures, and count outcomes where that was asked for."""
    import pytest

    if config.getoption("--edgekit-update") and not config.getoption("--edgekit"):
        raise pytest.UsageError("--edgekit-update updates what the tests of --edgekit find: give both.")
    config.pluginmanager.register(_fixtures(), "edgekit-fixtures")
    if config.getoption("--edgekit"):
        config.pluginmanager.register(_Summary(), "edgekit-summary")


def _fixtures() -> object:
    import pytest

    def require(request: pytest.FixtureRequest) -> None:
        if not request.config.getoption("--edgekit"):
            pytest.skip("it runs models: give --edgekit")

    written: set[Path] = set()  # golden files of this session: what it wrote it compares with from then on

    class Fixtures:
        @pytest.fixture
        def assert_parity(
            self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
        ) -> AssertParity:
            """Fail the test unless an artifact computes what its model computes; see docs/testing.md."""
            require(request)
            from edgekit.testing.asserts import AssertParity

            return AssertParity(lambda: tmp_path_factory.mktemp("edgekit"), _recorder(request))

        @pytest.fixture
        def assert_golden(
            self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
        ) -> AssertGolden:
            """Fail the test unless a model gives its stored outputs; see docs/testing.md."""
            require(request)
            from edgekit.testing.asserts import AssertGolden, Place

            place = Place(
                file=request.node.path,
                test=request.node.name,
                command=f'pytest --edgekit --edgekit-update "{request.node.nodeid}"',
                update=request.config.getoption("--edgekit-update"),
                written=written,
            )
            return AssertGolden(lambda: tmp_path_factory.mktemp("edgekit"), _recorder(request), place)

    return Fixtures()


def _recorder(request: pytest.FixtureRequest) -> Any:
    return lambda outcome: request.node.user_properties.append((PROPERTY, outcome))


class _Summary:
    """Counts outcomes of all tests; under pytest-xdist in the process that prints."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._doubts: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":  # the one report that every test has, with the outcomes of all its phases
            return
        for name, outcome in report.user_properties:
            if name == PROPERTY:
                what, _, why = str(outcome).partition(": ")
                self._counts[what] += 1
                if why:
                    self._doubts.append(f"{report.nodeid}: {why}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._counts:
            return
        terminalreporter.section("edgekit")
        for doubt in self._doubts:
            terminalreporter.write_line(f"weak: {doubt}")
        for noun in ("parity", "golden"):
            counts = [f"{count} {what.split()[1]}" for what, count in self._counts.items() if what.startswith(noun)]
            if counts:
                terminalreporter.write_line(f"{noun}: {', '.join(sorted(counts))}")
