"""What every runtime must do. An adapter joins with one class that names its artifacts; see `test_runtimes`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from edgekit.errors import DataError, MissingError, ModelError, UsageError
from edgekit.runtimes import RUNTIMES, OpenOptions, Runtime, Session
from tests import models

FIXED_BATCH = 2


class RuntimeSuite(ABC):
    """Behaviour of a runtime on the twin network of `tests.models`.

    Attributes:
        name: of the row in the registry.
        suffix: of the files it opens.
        takes_options: whether threads and accelerator can be set; where they cannot, setting them is refused.
        binds: whether inputs and outputs can be bound once.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    takes_options: ClassVar[bool] = True
    binds: ClassVar[bool] = True

    @abstractmethod
    @pytest.fixture
    def free(self, *args: Path) -> Path:
        """The twin network with a free batch."""

    @abstractmethod
    @pytest.fixture
    def fixed(self, *args: Path) -> Path:
        """The twin network with the batch fixed to `FIXED_BATCH`."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        runtime: Runtime = RUNTIMES[self.name].load()()
        return runtime

    @pytest.fixture
    def session(self, runtime: Runtime, free: Path) -> Iterator[Session]:
        with runtime.open(free, OpenOptions()) as session:
            yield session

    def test_has_the_name_of_its_row(self, runtime: Runtime) -> None:
        assert runtime.name == self.name

    def test_version_is_a_number_of_the_engine(self, runtime: Runtime) -> None:
        assert runtime.version()[0].isdigit()
        assert "." in runtime.version()

    def test_signature_has_names_types_and_free_batch(self, session: Session) -> None:
        assert {spec.name: (spec.shape, spec.dtype) for spec in session.signature.inputs} == {
            "wide": ((None, 4), "float32"),
            "token": ((None, 2), "int32"),
        }
        assert {spec.name: (spec.shape, spec.dtype) for spec in session.signature.outputs} == {
            "score": ((None, 2), "float32"),
            "embed": ((None, 5), "float32"),
        }
        assert session.signature.batch is None

    def test_signature_keeps_the_order_of_the_model(self, session: Session) -> None:
        assert tuple(spec.name for spec in session.signature.inputs) == models.INPUTS
        assert tuple(spec.name for spec in session.signature.outputs) == models.OUTPUTS

    def test_fixed_batch_is_reported_and_enforced(self, runtime: Runtime, fixed: Path) -> None:
        with runtime.open(fixed, OpenOptions()) as session:
            assert session.signature.batch == FIXED_BATCH
            _assert_right(session, FIXED_BATCH)
            with pytest.raises(DataError) as caught:
                session.run(models.twin_inputs(FIXED_BATCH + 1))
            assert caught.value.code == "wrong-shape"

    @pytest.mark.parametrize("batch", [1, 3])
    def test_computes_what_numpy_computes(self, session: Session, batch: int) -> None:
        _assert_right(session, batch)

    def test_batch_may_change_between_inferences(self, session: Session) -> None:
        for batch in (3, 1, 5, 3):
            _assert_right(session, batch)

    def test_outputs_come_in_the_order_of_the_signature(self, session: Session) -> None:
        outputs = session.run(models.twin_inputs(1))
        assert list(outputs) == [spec.name for spec in session.signature.outputs]

    def test_inputs_may_come_in_any_order_and_layout(self, session: Session) -> None:
        inputs = models.twin_inputs(3)
        strided = {name: np.asfortranarray(inputs[name]) for name in reversed(models.INPUTS)}
        assert not strided["wide"].flags.c_contiguous
        _assert_close(session.run(strided), models.twin_outputs(inputs))

    def test_inputs_may_be_read_only_and_stay_as_they_are(self, session: Session) -> None:
        inputs = models.twin_inputs(3)
        for array in inputs.values():
            array.flags.writeable = False
        session.run(inputs)
        for name, array in models.twin_inputs(3).items():
            np.testing.assert_array_equal(inputs[name], array)

    def test_outputs_belong_to_the_caller(self, session: Session) -> None:
        inputs = models.twin_inputs(2)
        first = session.run(inputs)
        kept = {name: array.copy() for name, array in first.items()}
        second = session.run(models.twin_inputs(2, seed=9))
        for name, array in first.items():
            np.testing.assert_array_equal(array, kept[name])
            assert not np.array_equal(array, second[name])

    def test_prepared_inference_gives_the_same_numbers(self, session: Session) -> None:
        inputs = models.twin_inputs(3)
        expected = session.run(inputs)
        infer = session.prepare(inputs)
        for _ in range(2):
            outputs = infer()
            arrays = list(outputs.values()) if isinstance(outputs, dict) else outputs
            assert isinstance(arrays, (list, tuple))
            for array, name in zip(arrays, expected, strict=True):
                np.testing.assert_array_equal(np.asarray(array), expected[name])

    def test_bound_inference_gives_the_same_numbers_or_is_refused(self, session: Session) -> None:
        inputs = models.twin_inputs(3)
        expected = session.run(inputs)
        if not self.binds:
            with pytest.raises(UsageError) as caught:
                session.bind(inputs)
            assert caught.value.code == "no-zero-copy"
            return
        infer = session.bind(inputs)
        for _ in range(3):
            outputs = infer()
            assert isinstance(outputs, list)
            for array, name in zip(outputs, expected, strict=True):
                np.testing.assert_array_equal(array, expected[name])
            del outputs, array  # a view may forbid the next inference
        _assert_right(session, 1)  # what was bound binds nobody else

    def test_streams_run_side_by_side(self, runtime: Runtime, free: Path) -> None:
        options = OpenOptions(threads=2 if self.takes_options else None)
        with ExitStack() as stack, ThreadPoolExecutor(2) as threads:
            sessions = [stack.enter_context(session) for session in runtime.open_streams(free, options, 2)]
            done = [threads.submit(_assert_right, one, batch) for one, batch in zip(sessions, (3, 1), strict=True)]
            for each in done:
                each.result()

    def test_what_the_engine_kept_is_read_and_right(self, runtime: Runtime, free: Path, tmp_path: Path) -> None:
        if not runtime.caches:
            return
        options = OpenOptions(cache=str(tmp_path))
        for hit in (False, True):
            with runtime.open(free, options) as session:
                assert session.loaded_from_cache is hit
                _assert_right(session, 3)

    def test_two_sessions_do_not_disturb_each_other(self, runtime: Runtime, free: Path) -> None:
        options = OpenOptions()
        with runtime.open(free, options) as one, runtime.open(free, options) as other:
            _assert_right(one, 3)
            _assert_right(other, 1)
            _assert_right(one, 3)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"wide": None}, "wrong-input-names"),
            ({"extra": np.zeros((1, 1), np.float32)}, "wrong-input-names"),
            ({"wide": np.zeros((1, 4), np.float64)}, "wrong-dtype"),
            ({"token": np.zeros((1, 2), np.int64)}, "wrong-dtype"),
            ({"wide": np.zeros((1, 5), np.float32)}, "wrong-shape"),
            ({"wide": np.zeros((4,), np.float32)}, "wrong-shape"),
        ],
    )
    def test_inputs_that_do_not_fit_are_refused(
        self, session: Session, change: dict[str, np.ndarray | None], code: str
    ) -> None:
        changed = {**models.twin_inputs(1), **change}
        inputs = {name: array for name, array in changed.items() if array is not None}
        for call in (session.run, session.prepare):
            with pytest.raises(DataError) as caught:
                call(inputs)
            assert caught.value.code == code
            assert caught.value.received
        _assert_right(session, 1)  # it still works

    def test_a_file_that_is_no_model_is_refused(self, runtime: Runtime, tmp_path: Path) -> None:
        path = tmp_path / f"garbage{self.suffix}"
        path.write_bytes(b"this is no model at all" * 20)
        with pytest.raises(ModelError) as caught:
            runtime.open(path, OpenOptions())
        assert caught.value.hint
        assert str(tmp_path) not in caught.value.message

    def test_half_a_file_is_refused(self, runtime: Runtime, free: Path, tmp_path: Path) -> None:
        path = tmp_path / free.name
        content = free.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(ModelError):
            runtime.open(path, OpenOptions())

    def test_a_missing_file_is_refused(self, runtime: Runtime, tmp_path: Path) -> None:
        with pytest.raises(ModelError):
            runtime.open(tmp_path / f"absent{self.suffix}", OpenOptions())

    @pytest.mark.parametrize("threads", [1, 2])
    def test_threads_can_be_set(self, runtime: Runtime, free: Path, threads: int) -> None:
        options = OpenOptions(threads=threads)
        if not self.takes_options:
            with pytest.raises(UsageError):
                runtime.open(free, options)
            return
        with runtime.open(free, options) as session:
            _assert_right(session, 3)

    def test_zero_threads_are_refused(self, runtime: Runtime, free: Path) -> None:
        with pytest.raises(UsageError):
            runtime.open(free, OpenOptions(threads=0))

    def test_an_accelerator_that_is_not_there_is_an_error(self, runtime: Runtime, free: Path) -> None:
        with pytest.raises(MissingError if self.takes_options else UsageError) as caught:
            runtime.open(free, OpenOptions(accelerator="Abacus"))
        assert "Abacus" in str(caught.value)

    def test_effective_says_what_ran_and_how_it_is_known(self, session: Session) -> None:
        session.run(models.twin_inputs(1))
        effective = session.effective()
        for reading in (effective.precision, effective.placement):
            assert (reading.value is None) == (reading.how == "not reported")
        assert effective.precision.value in (None, "f32")
        assert effective.placement.value in (None, "CPU")

    def test_closes_twice_and_can_be_opened_again(self, runtime: Runtime, free: Path) -> None:
        session = runtime.open(free, OpenOptions())
        session.close()
        session.close()
        with runtime.open(free, OpenOptions()) as again:
            _assert_right(again, 1)


def _assert_right(session: Session, batch: int) -> None:
    inputs = models.twin_inputs(batch, seed=batch)
    _assert_close(session.run(inputs), models.twin_outputs(inputs))


def _assert_close(outputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(outputs) == set(expected)
    for name, array in outputs.items():
        assert array.dtype == np.float32
        assert np.ptp(expected[name]) > 0.1, "a constant would prove nothing"
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=2e-6)
