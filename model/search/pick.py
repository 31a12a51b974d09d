"""From a study to the weights that are taken: the front, a declared rule, and the choice in the form of params.yaml."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from model.config import SearchConfig
from model.errors import FaceError
from model.search import MACRO_F1, NME
from model.search.trials import METRICS, SECONDS, all_trials, done, draw_of
from model.storage import atomic_path
from model.train.validation import score


@dataclass(frozen=True)
class SearchResult:
    """The trial picked from the Pareto front, as dotted names and values for params.yaml.

    Attributes:
        overrides: rounded to four digits.
        finished: trials trained to their end or cut short by the pruner.
        counts: trials by state; one that was taken up again counts as failed and as what it became.
        seconds: training time of the finished trials together.
        front: trials that no other one beats in both metrics, best NME first.
    """

    study: str
    finished: int
    counts: dict[str, int]
    seconds: float
    rule: str
    trial: int
    values: dict[str, float]
    overrides: dict[str, float]
    front: list[dict[str, Any]]

    @property
    def origin(self) -> str:
        """Where the values come from, in a line."""
        return f"study {self.study}, trial {self.trial} of {self.finished}, rule {self.rule}"


def summarise(study: optuna.Study, config: SearchConfig) -> SearchResult:
    """Front and pick of a study, of its complete trials.

    Raises:
        FaceError: it has no complete trial, or `improve` is asked for without that of params.yaml.
    """
    trials = all_trials(study)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        raise FaceError(f"study {study.study_name}: no trial came to its end; look at `search.space` and the log above")
    if config.pick == "improve" and _hand_set(complete, trials) is None:
        raise FaceError(
            f"study {study.study_name}: the trial of params.yaml came to no end, so search.pick=improve has nothing to "
            "compare with; choose another rule, or search again from an empty folder"
        )
    best = pick(complete, config, trials)
    return SearchResult(
        study=study.study_name,
        finished=len(done(trials)),
        counts=dict(Counter(trial.state.name.lower() for trial in trials)),
        seconds=round(sum(trial.user_attrs.get(SECONDS, 0.0) for trial in done(trials)), 1),
        rule=config.pick,
        trial=best.number,
        values=metrics_of(best),
        overrides={name: float(f"{value:.4g}") for name, value in best.params.items()},
        front=[
            {"trial": trial.number, "values": metrics_of(trial), "params": dict(trial.params)}
            for trial in front_of(complete)
        ],
    )


def pick(complete: Sequence[FrozenTrial], config: SearchConfig, trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """The trial that `search.pick` takes; of equals the earliest."""
    front = sorted(front_of(complete), key=lambda trial: trial.number)
    match config.pick:
        case "score":
            return max(front, key=_score)
        case "ideal":
            return _nearest_to_ideal(front)
        case "nme":
            return min(front, key=_nme)
        case "macro_f1":
            return max(front, key=_f1)
        case "improve":
            hand_set = _hand_set(complete, trials)
            fit = [trial for trial in complete if hand_set is None or _no_worse(trial, hand_set)]
            return max(sorted(fit, key=lambda trial: trial.number), key=_score)


def _hand_set(complete: Sequence[FrozenTrial], trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The trial of the values of params.yaml."""
    return next((trial for trial in complete if draw_of(trial, trials) == 0), None)


def best_so_far(trials: Sequence[FrozenTrial], config: SearchConfig) -> str:
    """The trial that would be taken now, in few words; empty before the first is complete."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        return ""
    best = pick(complete, config, trials)
    names = {NME: "NME", MACRO_F1: "F1"}
    values = ", ".join(f"{names[name]} {value:.2f}" for name, value in metrics_of(best).items())
    return f"best {values} (trial {best.number})"


def front_of(complete: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that no other one matches in both metrics and beats in one, best NME first.

    A trial without one of the tasks has an infinite NME, or a macro-F1 of zero.
    """
    kept = [one for one in complete if not any(_no_worse(it, one) and not _no_worse(one, it) for it in complete)]
    return sorted(kept, key=lambda trial: (_nme(trial), trial.number))


def metrics_of(trial: FrozenTrial) -> dict[str, float]:
    """NME and macro-F1 in percent, those that there are."""
    metrics = trial.user_attrs.get(METRICS, {})
    return {name: metrics[name] for name in (NME, MACRO_F1) if name in metrics}


def write_overlay(result: SearchResult, path: Path) -> None:
    """The choice as a recipe: dotted names and values, and where they come from."""
    text = yaml.safe_dump(result.overrides, sort_keys=False)
    with atomic_path(path) as temporary:
        temporary.write_text(f"# {result.origin[0].upper()}{result.origin[1:]}.\n{text}")


def _nearest_to_ideal(front: Sequence[FrozenTrial]) -> FrozenTrial:
    """Nearest to the best of both, each scaled to the front's range; then lower NME."""
    nme, f1 = [_nme(trial) for trial in front], [_f1(trial) for trial in front]

    def distance(trial: FrozenTrial) -> tuple[float, float]:
        lost_nme = (_nme(trial) - min(nme)) / ((max(nme) - min(nme)) or 1.0)
        lost_f1 = (max(f1) - _f1(trial)) / ((max(f1) - min(f1)) or 1.0)
        return math.hypot(lost_nme, lost_f1), _nme(trial)

    return min(front, key=distance)


def _no_worse(one: FrozenTrial, other: FrozenTrial) -> bool:
    return _nme(one) <= _nme(other) and _f1(one) >= _f1(other)


def _nme(trial: FrozenTrial) -> float:
    return metrics_of(trial).get(NME, math.inf)


def _f1(trial: FrozenTrial) -> float:
    return metrics_of(trial).get(MACRO_F1, 0.0)


def _score(trial: FrozenTrial) -> float:
    return score(metrics_of(trial))
