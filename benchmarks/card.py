"""The model card of published weights, made from what was measured of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from benchmarks import imagenet_trunk, robustness, speed
from model.cli.recipe import read_recipe
from model.evaluation.markdown import class_table, headline_table, slice_table
from model.schema import INTENDED_USE, Measure
from model.weights import Meta

TEMPLATE = Path(__file__).parent / "model_card.md"
RESTRICTED = (
    "**Non-commercial research only** (`restricted` in meta.json): among the training pictures are benchmarks whose "
    "terms allow nothing else. The code around the weights has its own licence."
)
FREE = "No restricted benchmark was among the training pictures; the weights share the licence of the code."
CONVENTIONS = """
## Conventions
Annotators of one benchmark name faces unlike those of another. {kinds}: a fixed map each of the answered
probabilities, fitted on held-out training faces; `rmtl predict --convention NAME` applies it, points are the same.
Without one, the answer speaks as the weights were trained: {share} of an expression's target are the shares of its
votes, where there are votes, and the rest is its label.
"""
COMMAND = "python -m benchmarks.published --data FOLDER"


@dataclass(frozen=True)
class Published:
    """What the files are: their description, size and kind of numbers, and the digest that they were rounded from.

    `earlier` are the trainings before the last, the latest first.
    """

    meta: Meta
    size: int
    kind: str
    source: str
    parameters: int
    earlier: Sequence[Meta] = ()


def render(weights: Published, reports: Mapping[str, Mapping[str, Any]]) -> str:
    """The card in Markdown.

    Args:
        reports: `evaluation`, and where they were measured `robustness` and `speed`.
    """
    meta, evaluation = weights.meta, reports["evaluation"]
    measures = [Measure(**row) for row in evaluation["measures"]]
    values = {
        "licence": RESTRICTED if meta.restricted else FREE,
        "expressions": ", ".join(meta.expressions),
        "trunk": meta.net.trunk,
        "size": meta.net.size,
        "input": meta.net.input_size,
        "scale": meta.net.crop_scale,
        "parameters": f"{weights.parameters:,}",
        "bytes": f"{weights.size:,}",
        "kind": weights.kind,
        "digest": meta.weights_digest,
        "source": weights.source,
        "data": meta.data_digest,
        "code": ", ".join(f"{name} {value[:12]}" for name, value in meta.code.items()),
        "intended_use": INTENDED_USE,
        "training": _training(evaluation["recipe"], meta, weights.earlier),
        "recipe": evaluation["recipe"],
        "command": COMMAND,
        "metrics": headline_table(measures),
        "classes": class_table(measures),
        "slices": slice_table(measures),
        "temperature": f"{meta.temperature:.3f}",
        "conventions": _conventions(meta),
        "more": _more(reports),
    }
    return Template(TEMPLATE.read_text()).substitute(values)


def _training(recipe: str, meta: Meta, earlier: Sequence[Meta]) -> str:
    sources = read_recipe(recipe)["index.sources"]
    rows = [
        [source["name"], ", ".join(source["splits"].get("train", [])), ", ".join(source["splits"].get("test", []))]
        for source in sources
    ]
    lines = ["| source | trained on | tested on |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    for later, stage in zip([meta, *earlier], [*earlier, None], strict=True):
        if later.start_digest:
            lines += ["", _began("Training" if later is meta else "That", later.start_digest, stage)]
    return "\n".join(lines)


def _began(whose: str, digest: str, stage: Meta | None) -> str:
    sentence = f"{whose} began from weights of digest `{digest[:12]}`"
    if digest == imagenet_trunk.DIGEST:
        return f"{sentence}: {imagenet_trunk.ORIGIN}."
    if stage is None:
        return f"{sentence}."
    epochs, faces = stage.config["train"]["epochs"], f"data `{stage.data_digest}`"
    return f"{sentence}, themselves trained for {epochs} epochs at {stage.net.input_size} pixels on {faces}."


def _conventions(meta: Meta) -> str:
    if not meta.conventions:
        return ""
    kinds = [f"`{name}` (fitted to {item.speaks})" for name, item in meta.conventions.items()]
    share = meta.config["train"]["loss"]["vote_share"]
    return CONVENTIONS.format(kinds=", ".join(kinds), share=f"{share:.0%}")


def _more(reports: Mapping[str, Mapping[str, Any]]) -> str:
    parts: list[str] = []
    if "robustness" in reports:
        text = (
            "Faces changed before they are asked about, boxes moved, boxes found by the detector, and drawn faces "
            "(`sample`) as a source of another kind. Lengths are in shares of the longer side of the tight box."
        )
        parts += ["", "## Robustness", text, "", robustness.table(reports["robustness"])]
    if "speed" in reports:
        report = reports["speed"]
        text = f"{report['cpu']}, one thread, a picture of {report['picture']['side']} pixels, batch 1."
        parts += ["", "## Speed", text, "", speed.table(report)]
    return "\n".join([*parts, ""])
