"""Step 8: the challenger becomes champion."""

from typing import Any

from components.base import component


@component
def promote(section: dict[str, Any], who: str, why: str, gate: str) -> str:
    """Returns the promoted version; `gate` orders this step after the registration."""
    from model.config import RegisterConfig, parse_section
    from model.registry.promotion import promote as move_alias

    config = parse_section(RegisterConfig, section, name="register")
    return move_alias(config, who=who, why=f"{why} (gate: {gate})").after
