"""Known vulnerabilities of the pinned packages, judged by the policy."""

import json
import re
import subprocess
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ValidationError

from model.errors import GateError, ServiceError
from supply.policy import Advisory, expired


class Vulnerability(BaseModel):
    """One advisory about one package."""

    id: str
    aliases: list[str] = []
    fix_versions: list[str] = []


class Dependency(BaseModel):
    """One package; `skip_reason` where the service did not answer about it."""

    name: str
    version: str = ""
    vulns: list[Vulnerability] = []
    skip_reason: str = ""


class Report(BaseModel):
    """What `pip-audit --format json` prints."""

    dependencies: list[Dependency]


def ask(constraints: Path) -> Report:
    """The service's answer about every pinned package.

    Raises:
        ServiceError: no answer, or the program is not installed.
    """
    command = ["pip-audit", "--disable-pip", "--no-deps", "--requirement", str(constraints)]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ServiceError(f"pip-audit cannot be run ({error.strerror}); `make setup` installs it") from error
    try:
        return Report.model_validate(json.loads(done.stdout))
    except (ValueError, ValidationError) as error:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ServiceError(f"pip-audit gave no answer ({last}); nothing was audited") from error


def judge(report: Report, waivers: Sequence[Advisory], today: date) -> int:
    """Accept a report without unwaived vulnerabilities.

    Returns:
        How many packages were audited.

    Raises:
        ServiceError: the service did not answer about some package, which is no sign of its health.
        GateError: vulnerabilities without a waiver, or waivers past their date.
    """
    skipped = [item for item in report.dependencies if item.skip_reason]
    if skipped or not report.dependencies:
        example = f"; first: {skipped[0].skip_reason}" if skipped else ""
        raise ServiceError(
            f"{len(skipped)} of {len(report.dependencies)} packages were not audited{example}; "
            "pip-audit calls that no known vulnerability, this gate does not"
        )
    faults = [
        f"{item.name} {item.version}: {vulnerability.id}, {_advice(vulnerability)}"
        for item in report.dependencies
        for vulnerability in item.vulns
        if not any(_covers(waiver, item, vulnerability) for waiver in waivers)
    ]
    if faults := [*faults, *expired(waivers, today)]:
        raise GateError("\n".join([f"{len(faults)} finding(s) of the audit", *faults]))
    return len(report.dependencies)


def _covers(waiver: Advisory, item: Dependency, vulnerability: Vulnerability) -> bool:
    return _plain(waiver.package) == _plain(item.name) and waiver.id in (vulnerability.id, *vulnerability.aliases)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _advice(vulnerability: Vulnerability) -> str:
    fixes = ", ".join(vulnerability.fix_versions)
    return f"fixed in {fixes}" if fixes else "no fixed version: replace the package, or waive it in supply/policy.toml"
