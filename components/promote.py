"""Step 9: the registered version becomes champion."""

from typing import Any

from kfp import dsl

from components.base import component


@component
def promote(
    section: dict[str, Any],
    who: str,
    why: str,
    registration: dsl.Input[dsl.Artifact],
    promotion: dsl.Output[dsl.Artifact],
) -> str:
    """Returns the version that is champion now."""
    from pathlib import Path

    from components.step import step
    from model.config import RegisterConfig, parse_section
    from model.registry.promotion import promote as move_alias
    from model.schema import to_json
    from model.storage import read_json, write_json

    with step("promote", inputs=[registration], outputs=[promotion]):
        config = parse_section(RegisterConfig, section, name="register")
        entry = move_alias(config, who=who, why=why, version=read_json(Path(registration.path))["version"])
        write_json(Path(promotion.path), {"name": config.name, **to_json(entry)})
    return str(entry.after)
