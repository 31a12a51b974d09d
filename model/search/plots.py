"""Pictures of a study: Pareto front, parameter importances."""

from functools import partial
from pathlib import Path

import optuna
from matplotlib.backends.backend_agg import FigureCanvasAgg
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as pictures

from model.errors import ConfigError
from model.storage import atomic_path

# Importances need some spread of parameters and values to be told from noise.
FEWEST_TRIALS = 4


def draw_study(study: optuna.Study, folder: Path) -> list[Path]:
    """Write the front, and one picture of importances an objective; returns their paths.

    Raises:
        ConfigError: the study has too few finished trials.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < FEWEST_TRIALS:
        raise ConfigError(f"study {study.study_name}: {len(finished)} finished trials, need {FEWEST_TRIALS}")
    names = ("val NME (% inter-ocular)", "val macro-F1 (%)")
    axes = {"front": pictures.plot_pareto_front(study, target_names=list(names))}
    for axis, (short, name) in enumerate(zip(("nme", "f1"), names, strict=True)):
        axes[f"importances-{short}"] = pictures.plot_param_importances(
            study, target=partial(_value, axis), target_name=name
        )
    return [_save(folder / f"{name}.png", item) for name, item in axes.items()]


def _value(axis: int, trial: FrozenTrial) -> float:
    """An objective as something to make low, which is what the importances explain."""
    return float(trial.values[axis]) * (1.0, -1.0)[axis]


def _save(path: Path, axes: object) -> Path:
    figure = axes.figure  # type: ignore[attr-defined]
    FigureCanvasAgg(figure)
    figure.set_size_inches(7, 5)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    return path
