"""The documents: what they name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    """T47."""
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_folders_named_by_the_architecture_exist() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs/ARCHITECTURE.md").read_text(), flags=re.MULTILINE)
    first = [re.findall(r"`([^`]+)`", row)[0] for row in rows]
    assert len(first) > 8
    assert [name for name in first if not (ROOT / name).exists()] == []


def test_every_variable_of_the_environment_is_listed() -> None:
    listed = set(re.findall(r"[A-Z][A-Z0-9_]{4,}", (ROOT / ".env.example").read_text()))
    used = set()
    for path in (ROOT / "model").rglob("*.py"):
        used |= set(re.findall(r"environ(?:\.get\(|\[)\s*\"(RMTL_[A-Z_]+)\"", path.read_text()))
    assert used <= listed
