"""Section `search`: which weights are tried, how a trial is judged, and which one is taken."""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from model.config.base import Count, Positive, Section

Objective = Literal["pareto", "score", "nme", "macro_f1"]
Pruner = Literal["none", "halving", "hyperband"]
Sampler = Literal["tpe", "random"]
Pick = Literal["score", "ideal", "nme", "macro_f1", "improve"]

_FIXED = "train.loss.landmark_weight"


class SearchRange(Section):
    """A log-uniform range of one dotted name of params.yaml."""

    name: Annotated[str, Field(pattern=r"^train\.")]
    low: Positive
    high: Positive

    @model_validator(mode="after")
    def _rises(self) -> "SearchRange":
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self


class SearchConfig(Section):
    """A trial is judged by held-out metrics, never by the weighted loss.

    `objective`: `pareto` has two, NME down and macro-F1 up; the others have one, which a `pruner` may cut short:
    `score` is log(macro-F1) - log(NME), as for the choice of the best epoch. The first `startup` trials are drawn at
    random, and the first of all is params.yaml itself where `warm_start` is on. `pick` chooses from the front: best
    `score`, `nme` or `macro_f1`; `ideal`, nearest to the best of both; `improve`, the best score among trials that are
    no worse than params.yaml in either. A trial is made cheap by `overrides`, dotted names laid over params.yaml, and
    sees `fraction` of the training faces in each epoch.
    """

    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    trials: Count
    objective: Objective
    pruner: Pruner
    sampler: Sampler
    startup: Count
    warm_start: bool
    pick: Pick
    fraction: Annotated[float, Field(gt=0, le=1)]
    space: Annotated[tuple[SearchRange, ...], Field(min_length=1)]
    overrides: dict[str, int | float | bool | str]

    @field_validator("space")
    @classmethod
    def _ratios_only(cls, space: tuple[SearchRange, ...]) -> tuple[SearchRange, ...]:
        counts = Counter(item.name for item in space)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"{', '.join(twice)} named more than once")
        if _FIXED in counts:
            raise ValueError(f"{_FIXED} stays as it is: only the ratio of weights matters, so search the others")
        return space

    @model_validator(mode="after")
    def _parts_fit(self) -> "SearchConfig":
        problems = []
        if self.objective == "pareto" and self.pruner != "none":
            problems.append(f"pruner {self.pruner} needs one objective: score, nme or macro_f1")
        if self.pick == "improve" and not self.warm_start:
            problems.append("pick improve compares with params.yaml, so warm_start must be on")
        searched = sorted({item.name for item in self.space} & set(self.overrides))
        if searched:
            problems.append(f"{', '.join(searched)} searched, so it cannot be among the overrides")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def named(self, digest: str) -> "SearchConfig":
        """The same search as a study of its own."""
        return self.model_copy(update={"study": f"{self.study}-{digest}"})

    def deciding(self) -> dict[str, Any]:
        """Values that the outcome of a trial depends on."""
        return self.model_dump(mode="json", exclude={"study", "trials", "pick"})
