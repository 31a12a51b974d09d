"""Data Docs that open without a network: what their pages fetch from elsewhere is taken out."""

import re
import shutil
from pathlib import Path

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


def make_self_contained(folder: Path) -> None:
    """Rewrite the pages and style sheets of a Data Docs folder in place, and drop its images and fonts."""
    for page in sorted(path for path in folder.rglob("*") if path.suffix in (".html", ".css")):
        text = _BACKGROUND.sub("none", _SCRIPT.sub("", _REMOTE.sub("", page.read_text(encoding="utf-8"))))
        page.write_text(text.replace("</head>", _STYLE, 1), encoding="utf-8")
    for name in ("images", "fonts"):
        shutil.rmtree(folder / "static" / name, ignore_errors=True)
