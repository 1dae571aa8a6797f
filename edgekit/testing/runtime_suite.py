"""What every runtime must do. A runtime joins with one class that names it and makes its artifacts::

    class TestMyEngine(RuntimeSuite):
        name, suffix = "myengine", ".mine"

        @pytest.fixture
        def free(self, tmp_path: Path) -> Path:
            return my_format(tmp_path / "free.mine", batch=None)

        @pytest.fixture
        def fixed(self, tmp_path: Path) -> Path:
            return my_format(tmp_path / "fixed.mine", batch=FIXED_BATCH)

Both files hold the network of `edgekit.testing.twin`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from edgekit.errors import DataError, EdgekitError, MissingError, ModelError, UsageError
from edgekit.runtimes import RUNTIMES, OpenOptions, Runtime, Session
from edgekit.testing.twin import INPUTS, OUTPUTS, Arrays, twin_inputs, twin_outputs

E = TypeVar("E", bound=EdgekitError)

FIXED_BATCH = 2


class RuntimeSuite:
    """Behaviour of a runtime. A subclass has the fixtures ``free`` and ``fixed``, each the path of an artifact.

    Attributes:
        name: of the row in the registry.
        suffix: of the files it opens.
        takes_options: whether threads can be set; where they cannot, setting them is refused.
        accelerates: whether an accelerator can be asked for.
        binds: whether inputs and outputs can be bound once.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    takes_options: ClassVar[bool] = True
    accelerates: ClassVar[bool] = True
    binds: ClassVar[bool] = True

    def runtime(self) -> Runtime:
        """As commands get it."""
        runtime: Runtime = RUNTIMES[self.name].load()()
        return runtime

    @contextmanager
    def opened(self, path: Path, **options: Any) -> Iterator[Session]:
        """An artifact in a session."""
        with self.runtime().open(path, OpenOptions(**options)) as session:
            yield session

    def test_has_the_name_of_its_row(self) -> None:
        assert self.runtime().name == self.name

    def test_version_is_a_number_of_the_engine(self) -> None:
        version = self.runtime().version()
        assert version[0].isdigit()
        assert "." in version

    def test_signature_has_names_types_and_free_batch(self, free: Path) -> None:
        with self.opened(free) as session:
            signature = session.signature
        assert {spec.name: (spec.shape, spec.dtype) for spec in signature.inputs} == {
            "wide": ((None, 4), "float32"),
            "token": ((None, 2), "int32"),
        }
        assert {spec.name: (spec.shape, spec.dtype) for spec in signature.outputs} == {
            "score": ((None, 2), "float32"),
            "embed": ((None, 5), "float32"),
        }
        assert signature.batch is None

    def test_signature_keeps_the_order_of_the_model(self, free: Path) -> None:
        with self.opened(free) as session:
            assert tuple(spec.name for spec in session.signature.inputs) == INPUTS
            assert tuple(spec.name for spec in session.signature.outputs) == OUTPUTS

    def test_fixed_batch_is_reported_and_enforced(self, fixed: Path) -> None:
        with self.opened(fixed) as session:
            assert session.signature.batch == FIXED_BATCH
            assert_right(session, FIXED_BATCH)
            error = raised(DataError, session.run, twin_inputs(FIXED_BATCH + 1))
            assert error.code == "wrong-shape"

    def test_computes_what_numpy_computes_in_every_batch(self, free: Path) -> None:
        with self.opened(free) as session:
            for batch in (3, 1, 5, 3):
                assert_right(session, batch)

    def test_outputs_come_in_the_order_of_the_signature(self, free: Path) -> None:
        with self.opened(free) as session:
            outputs = session.run(twin_inputs(1))
            assert list(outputs) == [spec.name for spec in session.signature.outputs]

    def test_inputs_may_come_in_any_order_and_layout(self, free: Path) -> None:
        inputs = twin_inputs(3)
        strided = {name: np.asfortranarray(inputs[name]) for name in reversed(INPUTS)}
        assert not strided["wide"].flags.c_contiguous
        with self.opened(free) as session:
            assert_close(session.run(strided), twin_outputs(inputs))

    def test_inputs_may_be_read_only_and_stay_as_they_are(self, free: Path) -> None:
        inputs = twin_inputs(3)
        for array in inputs.values():
            array.flags.writeable = False
        with self.opened(free) as session:
            session.run(inputs)
        for name, array in twin_inputs(3).items():
            np.testing.assert_array_equal(inputs[name], array)

    def test_outputs_belong_to_the_caller(self, free: Path) -> None:
        with self.opened(free) as session:
            first = session.run(twin_inputs(2))
            kept = {name: array.copy() for name, array in first.items()}
            second = session.run(twin_inputs(2, seed=9))
            for name, array in first.items():
                np.testing.assert_array_equal(array, kept[name])
                assert not np.array_equal(array, second[name])
        for name, array in first.items():  # also when the session is closed
            np.testing.assert_array_equal(array, kept[name])

    def test_prepared_inference_gives_the_same_numbers(self, free: Path) -> None:
        with self.opened(free) as session:
            for batch in (3, 1, 3):
                inputs = twin_inputs(batch, seed=batch)
                infer = session.prepare(inputs)
                for _ in range(2):
                    assert_close(_named(session, infer()), twin_outputs(inputs))
                assert_right(session, 2)

    def test_bound_inference_gives_the_same_numbers_or_is_refused(self, free: Path) -> None:
        inputs = twin_inputs(3)
        with self.opened(free) as session:
            if not self.binds:
                assert raised(UsageError, session.bind, inputs).code == "no-zero-copy"
                return
            infer = session.bind(inputs)
            for _ in range(3):  # each lets its views go: one may forbid the next inference
                assert_close(_copied(session, infer()), twin_outputs(inputs))
            del infer
            assert_right(session, 3)  # what was bound binds nobody else
            np.testing.assert_array_equal(inputs["wide"], twin_inputs(3)["wide"])

    def test_streams_run_side_by_side(self, free: Path) -> None:
        options = OpenOptions(threads=2 if self.takes_options else None)
        with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
            sessions = [stack.enter_context(one) for one in self.runtime().open_streams(free, options, 2)]
            done = [threads.submit(assert_right, one, batch) for one, batch in zip(sessions, (3, 1), strict=True)]
            for each in done:
                each.result()

    def test_what_the_engine_kept_is_read_and_right(self, free: Path, tmp_path: Path) -> None:
        if not self.runtime().caches:
            return
        for hit in (False, True):
            with self.opened(free, cache=str(tmp_path)) as session:
                assert session.loaded_from_cache is hit
                assert_right(session, 3)

    def test_two_sessions_do_not_disturb_each_other(self, free: Path) -> None:
        with self.opened(free) as one, self.opened(free) as other:
            assert_right(one, 3)
            assert_right(other, 1)
            assert_right(one, 3)

    def test_inputs_that_do_not_fit_are_refused(self, free: Path) -> None:
        with self.opened(free) as session:
            for change, code in _UNFIT:
                changed = {**twin_inputs(1), **change}
                inputs = {name: array for name, array in changed.items() if array is not None}
                for call in (session.run, session.prepare):
                    error = raised(DataError, call, inputs)
                    assert error.code == code
                    assert error.received
                assert_right(session, 1)  # it still works

    def test_a_file_that_is_no_model_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / f"garbage{self.suffix}"
        path.write_bytes(b"this is no model at all" * 20)
        error = raised(ModelError, self.runtime().open, path, OpenOptions())
        assert error.hint
        assert str(tmp_path) not in error.message

    def test_half_a_file_is_refused(self, free: Path, tmp_path: Path) -> None:
        path = tmp_path / f"half-{free.name}"
        content = free.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        raised(ModelError, self.runtime().open, path, OpenOptions())

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        raised(ModelError, self.runtime().open, tmp_path / f"absent{self.suffix}", OpenOptions())

    def test_threads_can_be_set(self, free: Path) -> None:
        for threads in (1, 2):
            if not self.takes_options:
                raised(UsageError, self.runtime().open, free, OpenOptions(threads=threads))
                continue
            with self.opened(free, threads=threads) as session:
                assert_right(session, 3)

    def test_zero_threads_are_refused(self, free: Path) -> None:
        raised(UsageError, self.runtime().open, free, OpenOptions(threads=0))

    def test_an_accelerator_that_is_not_there_is_an_error(self, free: Path) -> None:
        kind = MissingError if self.accelerates else UsageError
        error = raised(kind, self.runtime().open, free, OpenOptions(accelerator="Abacus"))
        assert "Abacus" in str(error)

    def test_effective_says_what_ran_and_how_it_is_known(self, free: Path) -> None:
        with self.opened(free) as session:
            session.run(twin_inputs(1))
            effective = session.effective()
        for reading in (effective.precision, effective.placement):
            assert (reading.value is None) == (reading.how == "not reported")
        assert effective.precision.value in (None, "f32")
        assert effective.placement.value in (None, "CPU")

    def test_closes_twice_and_can_be_opened_again(self, free: Path) -> None:
        session = self.runtime().open(free, OpenOptions())
        session.close()
        session.close()
        with self.opened(free) as again:
            assert_right(again, 1)


#: Changes of good inputs, and the code of the refusal.
_UNFIT: tuple[tuple[dict[str, Any], str], ...] = (
    ({"wide": None}, "wrong-input-names"),
    ({"extra": np.zeros((1, 1), np.float32)}, "wrong-input-names"),
    ({"wide": None, "width": np.zeros((1, 4), np.float32)}, "wrong-input-names"),
    ({"wide": [[0.0, 0.0, 0.0, 0.0]]}, "no-array"),
    ({"wide": np.zeros((1, 4), np.float64)}, "wrong-dtype"),
    ({"token": np.zeros((1, 2), np.int64)}, "wrong-dtype"),
    ({"wide": np.zeros((1, 5), np.float32)}, "wrong-shape"),
    ({"wide": np.zeros((4,), np.float32)}, "wrong-shape"),
    ({"wide": np.zeros((1, 4, 1), np.float32)}, "wrong-shape"),
)


def raised(kind: type[E], call: Callable[..., object], *arguments: object) -> E:
    """The error that a call ends with."""
    try:
        call(*arguments)
    except kind as error:
        return error
    raise AssertionError(f"{arguments} were not refused")


def assert_right(session: Session, batch: int) -> None:
    """A session of the network computes what numpy computes."""
    inputs = twin_inputs(batch, seed=batch)
    assert_close(session.run(inputs), twin_outputs(inputs))


def assert_close(outputs: Mapping[str, np.ndarray], expected: Arrays) -> None:
    """Outputs are those of the network in float32, up to the rounding of a few operators."""
    assert set(outputs) == set(expected)
    for name, array in outputs.items():
        assert array.dtype == np.float32
        assert np.ptp(expected[name]) > 0.1, "a constant would prove nothing"
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=2e-6)


def _named(session: Session, outputs: object) -> Arrays:
    """What a prepared inference returned, by name."""
    assert isinstance(outputs, (dict, list, tuple))
    arrays = list(outputs.values()) if isinstance(outputs, dict) else outputs
    names = [spec.name for spec in session.signature.outputs]
    return {name: np.asarray(array) for name, array in zip(names, arrays, strict=True)}


def _copied(session: Session, outputs: object) -> Arrays:
    assert isinstance(outputs, list)
    return {name: array.copy() for name, array in _named(session, outputs).items()}
