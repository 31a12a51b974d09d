"""Licences of everything that a user installs, and the refusal of those that a release cannot carry."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

from model.errors import GateError
from supply.policy import Licence, expired

REFUSED = re.compile(
    r"\bA?GPL|(?<!Lesser )General Public|SSPL|Server Side|BUSL|Business Source|Commons Clause|Non-?Commercial|\bNC\b"
    r"|Proprietary",
    re.IGNORECASE,
)
"""Copyleft that would reach our code, and licences that forbid uses; LGPL is allowed, as nothing is linked into us."""
_VAGUE = re.compile(r"^(OSI Approved|Dual License|UNKNOWN|)$", re.IGNORECASE)


@dataclass(frozen=True)
class Package:
    """A package and its licence, as its own metadata says."""

    name: str
    version: str
    licence: str


def installed(root: str, extras: Iterable[str] = ()) -> list[Package]:
    """The packages that installing `root` with these extras brings, without itself, by name.

    Raises:
        GateError: one is not installed here, so its licence cannot be told.
    """
    seen: dict[str, Distribution] = {}
    _walk(root, frozenset(extras), seen, set())
    del seen[_plain(root)]
    return [Package(name, found.version, _licence(found)) for name, found in sorted(seen.items())]


def judge(packages: Iterable[Package], exceptions: Iterable[Licence], today: date) -> None:
    """Accept packages under known licences, none of them refused.

    A choice (`A OR B`) is accepted if one side is.

    Raises:
        GateError: names each other package, and exceptions past their date.
    """
    known = {_plain(item.package): item for item in exceptions}
    faults = [
        f"{package.name} {package.version}: {package.licence or 'no licence in its metadata'}"
        for package in packages
        if package.name not in known and not _is_accepted(package.licence)
    ]
    if faults := [*faults, *expired(known.values(), today)]:
        raise GateError("\n".join([f"{len(faults)} licence(s) to decide on in supply/policy.toml", *faults]))


def _is_accepted(licence: str) -> bool:
    return any(not _VAGUE.match(part.strip()) and not REFUSED.search(part) for part in re.split(r"\bOR\b", licence))


def _walk(
    name: str, extras: frozenset[str], seen: dict[str, Distribution], done: set[tuple[str, frozenset[str]]]
) -> None:
    if (_plain(name), extras) in done:
        return
    done.add((_plain(name), extras))
    try:
        found = distribution(name)
    except PackageNotFoundError as error:
        raise GateError(f"{name} is not installed; run `make setup`, and add its extras") from error
    seen[_plain(name)] = found
    for requirement in _wanted(found, extras):
        _walk(requirement.name, frozenset(requirement.extras), seen, done)


def _wanted(found: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for text in found.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in {*extras, ""}):
            yield requirement


def _licence(found: Distribution) -> str:
    """The SPDX expression, else a short free text, else the classifiers."""
    metadata = found.metadata
    text = _field(found, "License")
    classifiers = [item for item in metadata.get_all("Classifier") or [] if item.startswith("License")]
    is_name = len(text) < 80 and "\n" not in text and "copyright" not in text.lower() and not _VAGUE.match(text)
    return (
        _field(found, "License-Expression")
        or (text if is_name else "")
        or ", ".join(item.split(" :: ")[-1] for item in classifiers)
    )


def _field(found: Distribution, name: str) -> str:
    """A field of the metadata; empty where it is missing, which some readers raise for."""
    return str((found.metadata.get_all(name) or [""])[0]).strip()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
