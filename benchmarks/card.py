"""The model card of published weights, made from what was measured of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from benchmarks import imagenet_trunk, robustness, speed
from benchmarks.entry import markdown
from benchmarks.headlines import by_subset, headlines, interval, printed
from model.cli.recipe import read_recipe
from model.schema import EXPRESSIONS, INTENDED_USE, Measure
from model.weights import Meta

TEMPLATE = Path(__file__).parent / "model_card.md"
RESTRICTED = (
    "**Non-commercial research only** (`restricted` in meta.json): among the training pictures are benchmarks whose "
    "terms allow nothing else. The code around the weights has its own licence."
)
FREE = "No restricted benchmark was among the training pictures; the weights share the licence of the code."
COMMAND = "python -m benchmarks.published --data FOLDER"


@dataclass(frozen=True)
class Published:
    """What the files are: their description, size and kind of numbers, and the digest that they were rounded from."""

    meta: Meta
    size: int
    kind: str
    source: str
    parameters: int


def render(weights: Published, reports: Mapping[str, Mapping[str, Any]]) -> str:
    """The card in Markdown.

    Args:
        reports: `evaluation`, and where they were measured `robustness` and `speed`.
    """
    meta, evaluation = weights.meta, reports["evaluation"]
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
        "training": _training(evaluation["recipe"], meta),
        "recipe": evaluation["recipe"],
        "command": COMMAND,
        "metrics": _metrics(evaluation),
        "classes": _classes(evaluation),
        "slices": _slices(evaluation),
        "temperature": f"{meta.temperature:.3f}",
        "more": _more(reports),
    }
    return Template(TEMPLATE.read_text()).substitute(values)


def _training(recipe: str, meta: Meta) -> str:
    sources = read_recipe(recipe)["index.sources"]
    rows = [
        [source["name"], ", ".join(source["splits"].get("train", [])), ", ".join(source["splits"].get("test", []))]
        for source in sources
    ]
    lines = ["| source | trained on | tested on |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    if meta.start_digest:
        known = f": {imagenet_trunk.ORIGIN}" if meta.start_digest == imagenet_trunk.DIGEST else ""
        lines += ["", f"Training began from weights of digest `{meta.start_digest[:12]}`{known}."]
    return "\n".join(lines)


def _metrics(evaluation: Mapping[str, Any]) -> str:
    rows = [
        [
            item.words,
            f"{printed(item.name, item.measure.value or 0.0)}{interval(item.measure, item.name)}",
            _number(item.measure),
        ]
        for item in headlines(evaluation)
    ]
    return markdown(["", "value (interval)", "n"], rows)


def _classes(evaluation: Mapping[str, Any]) -> str:
    metrics = ("precision", "recall", "f1")
    found = by_subset(evaluation, "expression", metrics)
    rows = [
        [
            name,
            *(_cell(found[f"class={name}"][metric]) for metric in metrics),
            _number(found[f"class={name}"]["recall"]),
        ]
        for name in EXPRESSIONS
        if f"class={name}" in found
    ]
    return markdown(["", "precision %", "recall %", "F1 %", "n"], rows)


def _slices(evaluation: Mapping[str, Any]) -> str:
    points = by_subset(evaluation, "landmarks", ("nme",))
    classes = by_subset(evaluation, "expression", ("accuracy", "macro_f1"))
    rows = []
    for subset in dict.fromkeys([*points, *classes]):
        error, share = points.get(subset, {}).get("nme"), classes.get(subset, {})
        if "=" in subset and (error is not None or share):
            numbers = [_number(row) for row in (error, share.get("accuracy")) if row is not None]
            cells = [_cell(row) for row in (error, share.get("accuracy"), share.get("macro_f1"))]
            rows.append([subset.replace("|", r"\|"), *cells, " / ".join(dict.fromkeys(numbers))])
    return markdown(["", "NME %, inter-ocular", "accuracy %", "macro-F1 %", "n"], rows)


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


def _cell(row: Measure | None) -> str:
    if row is None or row.value is None:
        return "-"
    name = f"{row.split}/{row.metric}"
    return f"{printed(name, row.value)}{interval(row, name)}"


def _number(row: Measure) -> str:
    return f"{row.n:,}"
