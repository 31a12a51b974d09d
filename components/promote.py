"""Step 8: the challenger becomes champion."""

from components.base import component


@component
def promote(name: str, who: str, why: str, gate: str) -> str:
    """Returns the promoted version; `gate` orders this step after the registration."""
    from model.registry.promotion import promote as move_alias

    return str(move_alias(name, version=None, who=who, why=f"{why} (gate: {gate})").to)
