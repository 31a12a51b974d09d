from datetime import UTC, date, datetime

import pytest

from model.errors import GateError
from supply.licences import Package, installed, judge
from supply.policy import Licence, load_policy

TODAY = date(2026, 11, 24)


def test_everything_a_user_installs_is_under_an_accepted_licence():
    """T46."""
    packages = installed("residual-mtl", ["postgres"])
    assert {"torch", "kfp", "psycopg", "numpy"} <= {package.name for package in packages}
    assert not {"pytest", "residual-mtl"} & {package.name for package in packages}
    judge(packages, load_policy().licence, datetime.now(UTC).date())


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-only", "AGPLv3", "GNU General Public License v2 (GPLv2)", "SSPL-1.0", "CC-BY-NC-4.0", ""]
)
def test_refused_and_missing_licences_fail_by_package(licence: str):
    """T46."""
    with pytest.raises(GateError, match=r"thing 1\.0"):
        judge([Package("thing", "1.0", licence)], [], TODAY)


@pytest.mark.parametrize(
    "licence",
    [
        "MIT",
        "BSD",
        "LGPL-3.0-only",
        "GNU Lesser General Public License v3 (LGPLv3)",
        "MPL-2.0 AND MIT",
        "EPL-2.0 OR GPL-2.0-or-later",
    ],
)
def test_permissive_and_weak_licences_and_a_choice_with_one_pass(licence: str):
    judge([Package("thing", "1.0", licence)], [], TODAY)


def test_an_exception_covers_its_package_until_its_date():
    """T46."""
    exception = Licence(package="Thing", licence="MIT", until=TODAY, reason="the LICENSE file is the MIT text")
    judge([Package("thing", "1.0", "")], [exception], TODAY)
    with pytest.raises(GateError, match="ended on 2026-11-24"):
        judge([Package("thing", "1.0", "")], [exception], date(2026, 11, 25))


def test_a_package_that_is_not_here_cannot_be_judged():
    with pytest.raises(GateError, match="no-such-package is not installed"):
        installed("no-such-package")
