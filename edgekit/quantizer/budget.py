"""How long a search may go on: a number of trials, a time, or a multiple of the first trial's time."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import UsageError

#: A search over settings takes at most this many times its first trial.
SEARCH_CALLS = 5.0

#: Looking for layers to leave in float takes at most this many times the search's first trial.
CONTROL_CALLS = 30.0


@dataclass(frozen=True, slots=True)
class Budget:
    """What the user grants one artifact; both None takes multiples of the first trial's time.

    Attributes:
        trials: most trials, failed ones too.
        max_seconds: wall time; the trial that runs when it is over still ends.
    """

    trials: int | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials is not None and self.trials < 1:
            raise UsageError(
                "bad-budget", "at least one trial is needed.", received=str(self.trials), hint="Example: --trials 10"
            )
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise UsageError(
                "bad-budget",
                "the time for a search should be above zero.",
                received=str(self.max_seconds),
                hint="Example: --max-seconds 60",
            )

    @property
    def given(self) -> bool:
        return self.trials is not None or self.max_seconds is not None


class Meter:
    """Counts what one artifact's trials have taken."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.trials = 0
        self.seconds = 0.0
        self._first = 0.0

    def add(self, seconds: float) -> None:
        """Count one trial; one that an earlier, killed command has run counts like any other."""
        self.trials += 1
        self.seconds += seconds
        self._first = self._first or seconds

    def allows(self, calls: float, *, part: float = 1.0, times: float = 1.0) -> bool:
        """Whether one more trial fits.

        Args:
            calls: limit as a multiple of the first trial, where the user gave no budget.
            part: of the user's budget that this stage may use up.
            times: how long it takes, as a multiple of an average trial.
        """
        if self.trials == 0:
            return True
        if self.budget.trials is not None and self.trials >= self.budget.trials * part:
            return False
        limit = self._limit(calls) * (part if self.budget.given else 1.0)
        return self.seconds + times * self.seconds / self.trials <= limit

    def left(self, calls: float, planned: int | None) -> str:
        """The time left in words, from the mean of the trials so far; empty before the first has ended.

        Args:
            calls: see `allows`.
            planned: trials that are still to come if the budget lasts; None where nobody knows.
        """
        if self.trials == 0:
            return ""
        most = self._limit(calls) - self.seconds
        mean = self.seconds / self.trials
        if self.budget.trials is not None:
            most = min(most, (self.budget.trials - self.trials) * mean)
        if planned is None:
            return f", at most {max(1, round(most))} s left"
        return f", about {max(1, round(min(most, planned * mean)))} s left"

    def _limit(self, calls: float) -> float:
        if self.budget.max_seconds is not None:
            return self.budget.max_seconds
        return float("inf") if self.budget.trials is not None else calls * self._first
