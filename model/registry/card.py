"""The model card of a version, made from its weights' description and its evaluation alone."""

from pathlib import Path
from string import Template

from model.evaluation.markdown import class_table, headline_table, slice_table
from model.schema import INTENDED_USE, EvaluationReport
from model.weights import Meta

CARD_FILE = "MODEL_CARD.md"

_TEMPLATE = Path(__file__).parent / "model_card.md"
_RESTRICTED = (
    "**Non-commercial research only**: among the training pictures are benchmarks whose terms allow nothing else."
)
_FREE = "No restricted benchmark was among the training pictures."


def render_card(meta: Meta, report: EvaluationReport) -> str:
    """The card in Markdown; every number stands in the evaluation."""
    values = {
        "licence": _RESTRICTED if meta.restricted else _FREE,
        "expressions": ", ".join(meta.expressions),
        "digest": meta.weights_digest,
        "trunk": meta.net.trunk,
        "size": meta.net.size,
        "input": meta.net.input_size,
        "trained_on": meta.data_digest,
        "measured_on": report.data_digest,
        "code": ", ".join(f"{name} {value[:12]}" for name, value in meta.code.items()),
        "residual": meta.net.residual.kind,
        "weighting": meta.config["train"]["loss"]["weighting"],
        "intended_use": INTENDED_USE,
        "metrics": headline_table(report.measures),
        "classes": class_table(report.measures),
        "slices": slice_table(report.measures),
        "temperature": f"{meta.temperature:.3f}",
    }
    return Template(_TEMPLATE.read_text()).substitute(values)
