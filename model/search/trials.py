"""What the workers leave on a trial for each other, and how a trial that was cut off is taken up again."""

from collections.abc import Sequence

import optuna
from optuna.trial import BaseTrial, FrozenTrial, TrialState

PLACE = "place"
"""Where a trial runs (`Places.here`)."""

REPEATS = "repeats"
"""Number of the trial that this one takes up again."""

LEFT = "left"
"""The worker was asked to end: no fault of the trial."""

ERROR = "error"
"""Why the training cannot be done with these values; it is not tried again."""

DOUBLE = "double"
"""Two machines saw one death and each queued the trial; this is the later one, which nobody trains."""

METRICS = "metrics"
SECONDS = "seconds"
PRUNED_AT = "pruned_at"

DEATHS = 3
"""A trial whose process died so often is given up: it may be what kills it."""

DONE = (TrialState.COMPLETE, TrialState.PRUNED)


def origin(trial: BaseTrial) -> int:
    """Number of the trial that this one takes up again, else its own."""
    return int(trial.user_attrs.get(REPEATS, trial.number))


def draw_of(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> int:
    """Place of a trial among the draws: its number as it would be if none had been cut off."""
    first = origin(trial)
    return first - sum(REPEATS in item.user_attrs for item in trials if item.number < first)


def all_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Every trial, as the database has it now."""
    return study.get_trials(deepcopy=False)


def done(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that were trained to their end or cut short by the pruner."""
    return [trial for trial in trials if trial.state in DONE]


def given_up(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Failed trials that are not tried again."""
    return [trial for trial in _last_of_each(trials) if trial.state == TrialState.FAIL and not _mends(trial, trials)]


def mend(study: optuna.Study) -> None:
    """Queue every trial that was cut off once more, with its values; calling it twice changes nothing."""
    trials = all_trials(study)
    for trial in _last_of_each(trials):
        if trial.state == TrialState.FAIL and _mends(trial, trials):
            study.add_trial(
                optuna.trial.create_trial(
                    state=TrialState.WAITING,
                    params=trial.params,
                    distributions=trial.distributions,
                    user_attrs={REPEATS: origin(trial)},
                )
            )


def is_double(trial: BaseTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether an earlier repeat of the same trial stands, or runs, or waits already."""
    return REPEATS in trial.user_attrs and any(
        item.number < trial.number and origin(item) == origin(trial) and item.state != TrialState.FAIL
        for item in trials
    )


def _mends(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    if ERROR in trial.user_attrs:
        return False
    same = [item for item in trials if origin(item) == origin(trial)]
    return sum(item.state == TrialState.FAIL and not {LEFT, DOUBLE} & set(item.user_attrs) for item in same) < DEATHS


def _last_of_each(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    once = (trial for trial in sorted(trials, key=lambda trial: trial.number) if DOUBLE not in trial.user_attrs)
    return list({origin(trial): trial for trial in once}.values())
