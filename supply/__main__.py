"""The gates of the supply chain, one a name; without names all of them.

Run: python -m supply bill licences secrets wheel audit
"""

import argparse
import csv
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from model.errors import FaceError, GateError
from model.storage import atomic_path, digest_file
from supply import audit, bill, leaks, licences
from supply.policy import Policy, load_policy

ROOT = Path(__file__).parent.parent
OUT = ROOT / "artifacts" / "supply"
DISTRIBUTION = "residual-mtl"


def _bill(_policy: Policy, _today: date) -> str:
    components = bill.write_bill(ROOT, OUT / "bill.cdx.json")["components"]
    return f"{len(components)} packages in artifacts/supply/bill.cdx.json"


def _licences(policy: Policy, today: date) -> str:
    packages = licences.installed(DISTRIBUTION, ["postgres"])
    with atomic_path(OUT / "licences.csv") as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["package", "version", "licence"])
        writer.writerows([package.name, package.version, package.licence] for package in packages)
    licences.judge(packages, policy.licence, today)
    return f"{len(packages)} packages in artifacts/supply/licences.csv"


def _secrets(policy: Policy, today: date) -> str:
    found = leaks.scan(ROOT)
    leaks.judge(found, policy.secret, today)
    return f"{len(found)} finds in files and history, all explained"


def _wheel(_policy: Policy, _today: date) -> str:
    with TemporaryDirectory() as scratch:
        commit = bill.head(ROOT)
        wheels = [bill.build_wheel(ROOT, Path(scratch) / name, commit=commit) for name in ("first", "second")]
        digests = [digest_file(wheel) for wheel in wheels]
        if digests[0] != digests[1]:
            raise GateError(f"two builds of {wheels[0].name} differ: {digests[0]} and {digests[1]}")
        return f"{wheels[0].name} built twice, sha256 {digests[0]}"


def _audit(policy: Policy, today: date) -> str:
    return f"{audit.judge(audit.ask(ROOT / 'constraints.txt'), policy.advisory, today)} packages audited"


GATES: dict[str, Callable[[Policy, date], str]] = {
    "bill": _bill,
    "licences": _licences,
    "secrets": _secrets,
    "wheel": _wheel,
    "audit": _audit,
}


def main(arguments: list[str] | None = None) -> int:
    """Run gates; the exit code is that of the last failure."""
    parser = argparse.ArgumentParser(prog="python -m supply", description=__doc__.splitlines()[0])
    parser.add_argument("gates", nargs="*", metavar="|".join(GATES), help="all of them, if none is named")
    names = parser.parse_args(arguments).gates
    if unknown := [name for name in names if name not in GATES]:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(GATES)}")
    policy, today, code = load_policy(), datetime.now(UTC).date(), 0
    for name in names or GATES:
        try:
            print(f"ok    {name}: {GATES[name](policy, today)}")  # noqa: T201
        except FaceError as error:
            print(f"fail  {name}: {error}")  # noqa: T201
            code = error.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main())
