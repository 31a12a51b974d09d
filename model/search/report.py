"""The page of a study: choice, pictures, trials; self-contained, without script and without other files' addresses."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

import optuna
import yaml
from optuna.trial import FrozenTrial

from model.config import SearchConfig
from model.search.pick import SearchResult, front_of, metrics_of, summarise
from model.search.plots import Picture, draw_study
from model.search.trials import SECONDS, all_trials, done
from model.storage import atomic_path

PAGE = "search.html"
FOLDER = "search"

_TEMPLATE = Path(__file__).with_name("report.html")
_RULES = {
    "score": "highest log(macro-F1) - log(NME) of the front",
    "ideal": "nearest to the best of both metrics, each scaled to the range of the front",
    "nme": "lowest NME of the front",
    "macro_f1": "highest macro-F1 of the front",
    "improve": "highest log(macro-F1) - log(NME) of the trials that are no worse than params.yaml in either metric",
}


def write_report(study: optuna.Study, config: SearchConfig, reports: Path) -> list[Path]:
    """Write `search.html` and the pictures in `search/` below `reports`, each as one; returns what was written.

    Raises:
        ConfigError: the study has too few complete trials.
        FaceError: it has none.
    """
    result, drawn = summarise(study, config), draw_study(study, config)
    with atomic_path(reports / FOLDER) as folder:
        folder.mkdir()
        for picture in drawn:
            (folder / f"{picture.name}.png").write_bytes(picture.png)
    with atomic_path(reports / PAGE) as temporary:
        temporary.write_text(render(result, drawn, all_trials(study)), encoding="utf-8")
    return [reports / PAGE, *(reports / FOLDER / f"{picture.name}.png" for picture in drawn)]


def render(result: SearchResult, drawn: Sequence[Picture], trials: Sequence[FrozenTrial]) -> str:
    """The page as HTML; everything that comes from the study is escaped."""
    found = done(trials)
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=f"Search: {escape(result.study)}",
        subtitle=f"{result.finished} finished trials, {result.seconds:.0f} s of training, held-out faces",
        rule=f"Trial {result.trial}, by rule <code>{escape(result.rule)}</code>: {_RULES[result.rule]}.",
        choice=escape(yaml.safe_dump(result.overrides, sort_keys=False)),
        figures="".join(map(_figure, drawn)),
        counts=escape(", ".join(f"{count} {state}" for state, count in sorted(result.counts.items()))),
        table="".join(_rows(found, result.trial)),
    )


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(picture.title)}">'
        f"<figcaption><strong>{escape(picture.title)}.</strong> {escape(picture.caption)}</figcaption></figure>"
    )


def _rows(trials: Sequence[FrozenTrial], picked: int) -> Iterable[str]:
    """A line a trial; a dot marks those of the front."""
    front = {trial.number for trial in front_of([trial for trial in trials if trial.state.name == "COMPLETE"])}
    metrics, params = (list(dict.fromkeys(name for names in sets for name in names)) for sets in _names(trials))
    heads = ["trial", "front", "state", *metrics, *params, "seconds"]
    yield f"<tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>"
    for trial in trials:
        values = metrics_of(trial)
        cells = [str(trial.number), "&bull;" if trial.number in front else "", trial.state.name.lower()]
        cells += [f"{values[name]:.3f}" if name in values else "" for name in metrics]
        cells += [f"{trial.params[name]:.4g}" for name in params]
        cells.append(f"{trial.user_attrs.get(SECONDS, 0.0):.1f}")
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        mark = ' class="picked"' if trial.number == picked else ""
        yield f"<tr{mark}>{row}</tr>"


def _names(trials: Sequence[FrozenTrial]) -> tuple[list[list[str]], list[list[str]]]:
    return [list(metrics_of(trial)) for trial in trials], [list(trial.params) for trial in trials]
