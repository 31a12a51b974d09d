"""Which pruner ends hopeless trials, and a halving that trials which were cut off do not disturb."""

from collections.abc import Container
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState

from model.config import SearchConfig


def make_pruner(config: SearchConfig, epochs: int) -> BasePruner:
    """Halving keeps the better half after a quarter of the epochs, and after each doubling; Hyperband draws how early.

    Hyperband's brackets go by a trial's number, which a trial that is taken up again shifts.
    """
    first = max(1, round(epochs / 4))
    match config.pruner:
        case "none":
            return NopPruner()
        case "halving":
            return Halving(min_resource=first, reduction_factor=2)
        case "hyperband":
            return HyperbandPruner(min_resource=first, max_resource=epochs, reduction_factor=2)


class Halving(SuccessiveHalvingPruner):
    """Successive halving among the trials that did not fail.

    A trial that was cut off is repeated from its checkpoint, so its values would count twice, and a killed study would
    prune other trials than one that ran through.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to stop at its last step."""
        return super().prune(_Sound(study), trial)


class _Sound(optuna.Study):
    """A study without its failed trials."""

    def __init__(self, study: optuna.Study) -> None:
        super().__init__(study.study_name, study._storage, sampler=study.sampler, pruner=study.pruner)

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[Any]:
        """As of a study, less those that failed."""
        return [trial for trial in super().get_trials(deepcopy, states) if trial.state != TrialState.FAIL]
