"""Data Docs that open without a network: what their pages fetch from elsewhere is taken out."""

import re
import shutil
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from model.data.validate.report import told
from model.schema import ValidationReport

WORST_PAGE = "worst.html"

_REMOTE = re.compile(
    r'<link[^>]+href="https?://[^>]*>'
    r'|<script[^>]+src="https?://[^>]*>\s*</script>'
    r'|<img[^>]+src="https?://[^>]*>'
    r'|<iframe[^>]+src="https?://.*?</iframe>',
    re.DOTALL,
)
_BACKGROUND = re.compile(r"url\(['\"]?https?://[^)]*\)")
_SCRIPT = re.compile(r"<script(?![^>]*src=).*?</script>", re.DOTALL)
_STYLE = """<style>
body { font-family: sans-serif; margin: 1.5rem auto !important; max-width: 75rem; color: #222; }
.fa-check-circle::before { content: "passed"; } .fa-times::before { content: "failed"; }
table { border-collapse: collapse; } td, th { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; }
nav, .navbar, .modal, .sidebar-toggle, .alert-dismissible, footer { display: none; }
</style>
</head>"""

_RULE = ("rule", "kind", "outcome", "rows checked", "rows failed", "quarantined")


def make_self_contained(folder: Path) -> None:
    """Rewrite the pages and style sheets of a Data Docs folder in place, and drop its images and fonts."""
    for page in sorted(path for path in folder.rglob("*") if path.suffix in (".html", ".css")):
        text = _BACKGROUND.sub("none", _SCRIPT.sub("", _REMOTE.sub("", page.read_text(encoding="utf-8"))))
        page.write_text(text.replace("</head>", _STYLE, 1), encoding="utf-8")
    for name in ("images", "fonts"):
        shutil.rmtree(folder / "static" / name, ignore_errors=True)


def write_index(folder: Path, report: ValidationReport) -> None:
    """Put a page in front of the Data Docs, whose own index lists its pages by a script from elsewhere."""
    pages = sorted((folder / "validations").rglob("*.html"))
    links = " &middot; ".join(
        f'<a href="{page.relative_to(folder)}">rules on {page.relative_to(folder).parts[1]}</a>' for page in pages
    )
    rules = [
        (
            *(rule[name] for name in ("rule", "kind")),
            "passed" if rule["passed"] else "failed",
            *(rule[name] for name in ("checked", "failed", "quarantined")),
            "; ".join(told(item) for item in rule["first"][:3]),
            *(rule[name] for name in ("action", "purpose")),
        )
        for rule in report.rules
    ]
    faces = [
        (source, split, part["faces"], part["points"], part["points19"], *part["expression"].values())
        for source, splits in report.counts["valid"].items()
        for split, part in splits.items()
    ]
    names: dict[str, int] = next(
        (part["expression"] for parts in report.counts["valid"].values() for part in parts.values()), {}
    )
    warnings = "".join(f"<p><b>warning</b> {escape(text)}</p>" for text in report.warnings)
    body = (
        f"<p>{report.valid:,} of {report.rows:,} rows are sound, {report.quarantined:,} in quarantine. "
        f'Data digest {report.data_digest}. {links} &middot; <a href="{WORST_PAGE}">worst rows</a></p>{warnings}'
        "<h2>Rules</h2>"
        + table(
            ("rule", "kind", "outcome", "rows checked", "rows failed", "quarantined", "first", "if it fails", "why"),
            rules,
        )
        + "<h2>Sound faces</h2>"
        + table(("source", "split", "faces", "68 points", "19 points", *names), faces)
    )
    write_page(folder / "index.html", "Data validation", body)


def write_page(path: Path, title: str, body: str) -> None:
    """One of our own pages; `body` is HTML."""
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>{_STYLE}<body>'
        f"<h1>{title}</h1>{body}</body></html>\n",
        encoding="utf-8",
    )


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table of escaped cells."""
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{body}</table>"
