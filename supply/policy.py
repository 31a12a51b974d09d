"""Exceptions to the supply chain's rules: each has a reason and a last day, all in one file."""

import tomllib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import ConfigError

POLICY_FILE = Path(__file__).with_name("policy.toml")


class Exemption(BaseModel):
    """One exception; after the day `until` it counts no longer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    until: date
    reason: Annotated[str, Field(min_length=20)]


class Advisory(Exemption):
    """A known vulnerability that is accepted, by its identifier or an alias of it."""

    id: str
    package: str


class Licence(Exemption):
    """A package whose metadata names no licence, or one that would be refused."""

    package: str
    licence: str


class Secret(Exemption):
    """A text that looks like a secret and is none; `digest` is the SHA-1 that the scanner prints."""

    path: str
    digest: str


class Policy(BaseModel):
    """All exceptions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    advisory: tuple[Advisory, ...] = ()
    licence: tuple[Licence, ...] = ()
    secret: tuple[Secret, ...] = ()


def load_policy(path: Path = POLICY_FILE) -> Policy:
    """Read the file.

    Raises:
        ConfigError: unreadable, an unknown key, no reason, or no date.
    """
    try:
        return Policy.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error


def expired(exemptions: Iterable[Exemption], today: date) -> list[str]:
    """A line for each exception whose last day has passed."""
    return [
        f"{type(item).__name__.lower()} {' '.join(_names(item))}: the exception ended on {item.until}; "
        "remove it, or decide anew and give a new date"
        for item in exemptions
        if item.until < today
    ]


def _names(item: Exemption) -> list[str]:
    return [str(value) for name, value in item if name not in ("until", "reason")]
