"""Draws that depend on the seed and on a trial's place among the draws, not on what a process drew before."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

from model.config import SearchConfig
from model.search.trials import all_trials, draw_of

Space = dict[str, BaseDistribution]


class DrawSampler(BaseSampler):
    """Random at first, then a tree of Parzen estimators, each draw from a generator of its own.

    Args:
        hand_set: values of the first draw; empty for none.
    """

    def __init__(self, study: optuna.Study, config: SearchConfig, *, seed: int, hand_set: Mapping[str, float]) -> None:
        self._study = study
        self._config = config
        self._seed = seed
        self._hand_set = dict(hand_set)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Space:
        """The whole space, from the first trial on."""
        return space_of(self._config)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Space) -> dict[str, Any]:
        """One point. Its place is counted in the whole study, of which Hyperband shows a part."""
        draw = draw_of(trial, all_trials(self._study))
        if draw == 0 and self._hand_set:
            return self._hand_set
        seed = int(np.random.SeedSequence([self._seed, draw]).generate_state(1)[0])
        if self._config.sampler == "tpe":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                tpe = TPESampler(
                    seed=seed, n_startup_trials=self._config.startup, multivariate=True, constant_liar=True
                )
            found = tpe.sample_relative(study, trial, search_space)
            if found:
                return found
        return draw_at_random(self._config, seed)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Nothing is drawn outside the space."""
        raise NotImplementedError(f"{param_name}: not in search.space")


def space_of(config: SearchConfig) -> Space:
    """Each range as Optuna has it."""
    return {item.name: FloatDistribution(item.low, item.high, log=True) for item in config.space}


def draw_at_random(config: SearchConfig, seed: int) -> dict[str, float]:
    """A point log-uniform in each range."""
    generator = np.random.default_rng(seed)
    return {
        item.name: min(max(math.exp(generator.uniform(math.log(item.low), math.log(item.high))), item.low), item.high)
        for item in config.space
    }
