"""Held-out metrics of a training, drawn over its epochs."""

import base64
from html import escape
from pathlib import Path

import pandas as pd

from model.evaluation.plots import draw_curves, to_png
from model.schema import INTENDED_USE

CURVES = {
    "held-out NME, % inter-ocular": ("val/nme_interocular", "val/nme_interocular_base"),
    "held-out macro-F1, %": ("val/macro_f1", "val/macro_f1_base"),
}


def curves_page(weights: Path) -> str:
    """Held-out metrics over the epochs as one self-contained HTML page."""
    history = pd.read_csv(weights / "history.csv")
    figures = []
    for label, names in CURVES.items():
        values = {name: history[name].tolist() for name in names if name in history}
        if values:
            content = base64.b64encode(to_png(draw_curves(values, label))).decode()
            figures.append(f'<img alt="{escape(label)}" src="data:image/png;base64,{content}">')
    return f"<!doctype html><title>Training</title><p>{escape(INTENDED_USE)}</p>{''.join(figures)}\n"
