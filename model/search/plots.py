"""Pictures of a study by Optuna: front, history, importances."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import matplotlib.pyplot as plt
import optuna
from matplotlib import rc_context
from matplotlib.figure import Figure
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as pictures

from model.config import SearchConfig
from model.errors import ConfigError
from model.evaluation.plots import to_png
from model.search import MACRO_F1, NME
from model.search.pick import metrics_of
from model.search.trials import all_trials

# Importances need some spread of values to be told from noise.
FEWEST_TRIALS = 4

_NAMES = {NME: "val NME (% inter-ocular)", MACRO_F1: "val macro-F1 (%)"}
_SHORT = {NME: "nme", MACRO_F1: "f1"}


@dataclass(frozen=True)
class Picture:
    """File name without suffix, title and caption for the page, bytes of a PNG."""

    name: str
    title: str
    caption: str
    png: bytes


def draw_study(study: optuna.Study, config: SearchConfig) -> list[Picture]:
    """The front of a study with two objectives, and of each metric its history and the importances of the parameters.

    Raises:
        ConfigError: the study has too few complete trials.
    """
    complete = [trial for trial in all_trials(study) if trial.state == TrialState.COMPLETE]
    if len(complete) < FEWEST_TRIALS:
        raise ConfigError(
            f"study {study.study_name}: {len(complete)} complete trials, need {FEWEST_TRIALS}; "
            "run `rmtl search` with more --trials"
        )
    metrics = [name for name in _NAMES if all(name in metrics_of(trial) for trial in complete)]
    drawn = [_draw_front(study)] if len(study.directions) > 1 else []
    for name in metrics:
        drawn += [draw_history(study, name), draw_importances(study, name)]
    return drawn


def _draw_front(study: optuna.Study) -> Picture:
    return _picture(
        "front",
        "Pareto front",
        "Every trial by its held-out metrics; no other trial beats those of the front in both.",
        partial(pictures.plot_pareto_front, study, target_names=list(_NAMES.values())),
    )


def draw_history(study: optuna.Study, metric: str) -> Picture:
    """A metric by the order of the trials."""
    return _picture(
        f"history-{_SHORT[metric]}",
        f"History: {_NAMES[metric]}",
        "Each trial in the order in which it was drawn; the first is params.yaml where the search started from it.",
        partial(pictures.plot_optimization_history, study, target=partial(_metric, metric), target_name=_NAMES[metric]),
    )


def draw_importances(study: optuna.Study, metric: str) -> Picture:
    """What a metric depends on."""
    return _picture(
        f"importances-{_SHORT[metric]}",
        f"Importances: {_NAMES[metric]}",
        "Share of the parameters in the difference between good trials and the others (PED-ANOVA).",
        partial(pictures.plot_param_importances, study, target=partial(_to_lower, metric), target_name=_NAMES[metric]),
    )


def _metric(name: str, trial: FrozenTrial) -> float:
    return metrics_of(trial)[name]


def _to_lower(name: str, trial: FrozenTrial) -> float:
    """A metric as something to make low, which is what the importances explain."""
    return metrics_of(trial)[name] * (-1.0 if name == MACRO_F1 else 1.0)


def _picture(name: str, title: str, caption: str, draw: Callable[[], object]) -> Picture:
    # Optuna draws with pyplot, and in a style that it leaves behind.
    with warnings.catch_warnings(), rc_context():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # The metrics are turned so that low is good.
        warnings.filterwarnings("ignore", message="PedAnovaImportanceEvaluator computes", category=UserWarning)
        axes = draw()
        figure: Figure = axes.figure  # type: ignore[attr-defined]
        figure.set_size_inches(7, 4.6)
        figure.set_dpi(120)
        figure.set_layout_engine("tight")
        png = to_png(figure)
    plt.close(figure)
    return Picture(name, title, caption, png)
