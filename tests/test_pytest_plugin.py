"""The pytest plugin, in suites of its own: each runs pytest in a fresh process, on real models and engines."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tests import models
from tests.test_imports import HEAVY, ROOT

pytest_plugins = ["pytester"]

HEAD = """
    from pathlib import Path
    import numpy as np
    from tests.models import twin_inputs
    HERE, SAMPLES = Path(__file__).parent, twin_inputs(12)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty suite that finds `tests.models`, as if no other pytest were running, with no plugin but those named."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)
    return pytester


def run(suite: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run it with the plugin, found as pytest finds it: by its entry point."""
    return suite.runpytest_subprocess("-p", "edgekit", "-W", "error", *options, timeout=300)


def write(suite: pytest.Pytester, tests: str) -> None:
    suite.makepyfile(test_user=textwrap.dedent(HEAD) + textwrap.dedent(tests))


def scaled(good: Path, bad: Path) -> None:
    """A copy of the twin whose weights after ``embed`` are 1 % too large."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(good)
    for weight in model.graph.initializer:
        if weight.name == "embed_weights":
            weight.CopyFrom(numpy_helper.from_array((models.EMBED * np.float32(1.01)), weight.name))
    onnx.save(model, bad)


def test_without_the_option_nothing_runs_and_nothing_heavy_is_imported(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        f"""
        import sys

        def test_parity(assert_parity):
            raise AssertionError("ran")

        def test_golden(assert_golden):
            raise AssertionError("ran")

        def test_nothing_was_imported():
            assert not {{name.partition(".")[0] for name in sys.modules}} & {HEAVY | {"numpy"}}
            assert not [name for name in sys.modules if name.startswith("edgekit.") and "pytest_plugin" not in name]
        """
    )
    result = run(suite, "-rs")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["*it runs models: give --edgekit"])
    result.stdout.no_fnmatch_line("*= edgekit =*")


def test_an_update_without_the_option_is_refused(suite: pytest.Pytester) -> None:
    result = run(suite, "--edgekit-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*give both*"])


@pytest.mark.slow
def test_a_wrong_artifact_fails_the_test_and_the_layer_is_named(
    suite: pytest.Pytester, twin_keras: Path, twin_onnx: Path, twin_tflite: Path
) -> None:
    scaled(twin_onnx, suite.path / "bad.onnx")
    write(
        suite,
        f"""
        import pytest
        KERAS, ONNX, TFLITE = {str(twin_keras)!r}, {str(twin_onnx)!r}, {str(twin_tflite)!r}

        def test_right(assert_parity):
            result = assert_parity(ONNX, TFLITE, SAMPLES)
            assert result.evidence.inputs == "real" and result.evidence.samples == 12

        def test_wrong(assert_parity):
            assert_parity(KERAS, HERE / "bad.onnx", SAMPLES)

        def test_excused(assert_parity):
            assert_parity(ONNX, HERE / "bad.onnx", SAMPLES, tolerance=0.1)

        def test_refused(assert_parity):
            with pytest.raises(AssertionError, match="file that"):
                assert_parity(ONNX, TFLITE, {{"wide": SAMPLES["wide"]}})
        """,
    )
    result = run(suite, "--edgekit", "-p", "xdist", "-n", "2")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines_random(
        [
            "E  *onnx fp32 failed: output score: the largest difference * is over *",
            "E  *culprit: export: layer embed_weights *",
            "E  *smallest failing part: python *reproduce.py",
            "parity: 1 error, 1 failed, 2 verified",
        ]
    )
    assert "edgekit/testing" not in result.stdout.str(), "no traceback through edgekit"


def test_what_cannot_be_compared_fails_with_a_choice(suite: pytest.Pytester, twin_onnx: Path) -> None:
    write(
        suite,
        f"""
        import pytest

        def test_live(assert_parity):
            with pytest.raises(AssertionError, match="models.py:factory"):
                assert_parity(lambda x: x, "onnx")

        def test_no_artifact(assert_parity):
            with pytest.raises(AssertionError, match="onnx, openvino, tflite"):
                assert_parity({str(twin_onnx)!r})

        def test_no_file(assert_parity):
            with pytest.raises(AssertionError, match="no such kit or artifact"):
                assert_parity({str(twin_onnx)!r}, "gone.tflite")

        def test_no_arrays(assert_parity):
            with pytest.raises(AssertionError, match="arrays by input name"):
                assert_parity({str(twin_onnx)!r}, "tflite", SAMPLES["wide"])
        """,
    )
    run(suite, "--edgekit").assert_outcomes(passed=4)


def test_a_kit_is_compared_with_its_source_and_stays_as_it_is(suite: pytest.Pytester, twin_onnx: Path) -> None:
    write(
        suite,
        f"""
        import pytest
        import edgekit
        ONNX, KIT = {str(twin_onnx)!r}, HERE / "kit"

        def test_kit(assert_parity):
            edgekit.export(ONNX, "openvino", output=KIT)
            before = {{path: path.stat().st_mtime_ns for path in KIT.rglob("*")}}
            (row,) = assert_parity(KIT).results
            assert (row.target, row.verdict) == ("openvino", "verified")
            assert assert_parity(ONNX, KIT, SAMPLES).evidence.samples == 12
            assert {{path: path.stat().st_mtime_ns for path in KIT.rglob("*")}} == before
            with pytest.raises(AssertionError, match="holds openvino fp32"):
                assert_parity(KIT, precision="int8")
            next(KIT.glob("artifacts/*/model.bin")).write_bytes(b"changed")
            with pytest.raises(AssertionError, match="is not what edgekit wrote"):
                assert_parity(ONNX, KIT)
        """,
    )
    result = run(suite, "--edgekit")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["parity: 2 error, 2 verified"])


def test_a_golden_result_is_made_held_and_replaced_only_when_asked(suite: pytest.Pytester, twin_onnx: Path) -> None:
    scaled(twin_onnx, suite.path / "bad.onnx")
    (suite.path / "model.onnx").write_bytes(twin_onnx.read_bytes())
    golden = suite.path / "__golden__" / "test_user.test_model.npz"
    write(suite, "def test_model(assert_golden):\n    assert_golden(HERE / 'model.onnx', SAMPLES)")

    missing = run(suite, "--edgekit")
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(['E  *Run: pytest --edgekit --edgekit-update "test_user.py::test_model"'])
    assert not golden.exists()

    run(suite, "--edgekit", "--edgekit-update").stdout.fnmatch_lines(["golden: 1 written"])
    first = golden.read_bytes()
    held = run(suite, "--edgekit", "--edgekit-update")
    held.stdout.fnmatch_lines(["golden: 1 held"])
    assert golden.read_bytes() == first, "an update leaves alone what holds"

    (suite.path / "model.onnx").write_bytes((suite.path / "bad.onnx").read_bytes())
    differs = run(suite, "--edgekit")
    differs.assert_outcomes(failed=1)
    differs.stdout.fnmatch_lines(["E  *output score: the largest difference * is over *", "golden: 1 failed"])
    assert golden.read_bytes() == first
    run(suite, "--edgekit", "--edgekit-update").stdout.fnmatch_lines(["golden: 1 updated"])
    assert golden.read_bytes() != first


def test_a_golden_result_of_something_else_is_refused_and_kept(
    suite: pytest.Pytester, twin_onnx: Path, dense_onnx: Path
) -> None:
    write(
        suite,
        f"""
        import pytest
        TWIN, DENSE = {str(twin_onnx)!r}, {str(dense_onnx)!r}

        def test_all(assert_golden, request):
            if request.config.getoption("--edgekit-update"):
                assert_golden(TWIN, SAMPLES, name="one")
                (HERE / "__golden__" / "damaged.npz").write_bytes(b"PK not an archive")
                return
            assert_golden(TWIN, name="one")
            with pytest.raises(AssertionError, match="of another model"):
                assert_golden(DENSE, name="one")
            with pytest.raises(AssertionError, match="not the samples"):
                assert_golden(TWIN, twin_inputs(12, seed=2), name="one")
            with pytest.raises(AssertionError, match="damaged"):
                assert_golden(TWIN, name="damaged")
            with pytest.raises(AssertionError, match="Leave out backend"):
                assert_golden(TWIN, name="one", backend="torch")
        """,
    )
    run(suite, "--edgekit", "--edgekit-update").assert_outcomes(passed=1)
    golden = suite.path / "__golden__" / "one.npz"
    before = golden.read_bytes()
    run(suite, "--edgekit").assert_outcomes(passed=1)
    assert golden.read_bytes() == before


@pytest.mark.slow
def test_one_golden_result_holds_a_model_on_every_backend(suite: pytest.Pytester, twin_keras: Path) -> None:
    write(
        suite,
        f"""
        import pytest

        @pytest.mark.parametrize("backend", ["jax", "torch"])
        def test_model(assert_golden, backend):
            assert_golden({str(twin_keras)!r}, SAMPLES, name="twin", backend=backend)
        """,
    )
    result = run(suite, "--edgekit", "--edgekit-update")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["golden: 1 held, 1 written"])


@pytest.mark.slow
def test_the_example_of_the_guide_runs(suite: pytest.Pytester) -> None:
    text = (ROOT / "docs" / "testing.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    suite.makepyfile(test_model=example)
    result = run(suite, "--edgekit", "--edgekit-update")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["parity: 1 verified", "golden: 1 written"])
