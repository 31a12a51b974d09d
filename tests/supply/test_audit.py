"""The audit's verdicts. No advisory service is asked: reports have the form that `pip-audit --format json` prints."""

from datetime import date
from pathlib import Path

import pytest

from model.errors import GateError, ServiceError
from supply.audit import Report, ask, judge
from supply.policy import Advisory

TODAY = date(2026, 11, 24)
REPORT = Report.model_validate(
    {
        "dependencies": [
            {"name": "pillow", "version": "13.0.0", "vulns": []},
            {
                "name": "typing-extensions",
                "version": "4.16.0",
                "vulns": [
                    {
                        "id": "PYSEC-2026-1",
                        "aliases": ["CVE-2026-1", "GHSA-aaaa-bbbb-cccc"],
                        "fix_versions": ["4.16.1"],
                        "description": "made up for this test",
                    }
                ],
            },
        ],
        "fixes": [],
    }
)


def waiver(name: str = "PYSEC-2026-1", package: str = "typing-extensions", until: date = TODAY) -> Advisory:
    return Advisory(id=name, package=package, until=until, reason="the function is never called here")


def test_a_vulnerability_fails_with_the_version_that_mends_it():
    """T46."""
    with pytest.raises(GateError, match=r"typing-extensions 4\.16\.0: PYSEC-2026-1, fixed in 4\.16\.1"):
        judge(REPORT, [], TODAY)


@pytest.mark.parametrize("name", ["PYSEC-2026-1", "CVE-2026-1", "GHSA-aaaa-bbbb-cccc"])
@pytest.mark.parametrize("package", ["typing-extensions", "Typing_Extensions"])
def test_a_waiver_in_time_covers_it_by_any_of_its_names(name: str, package: str):
    """T46."""
    assert judge(REPORT, [waiver(name, package)], TODAY) == 2


def test_a_waiver_past_its_date_fails():
    """T46."""
    with pytest.raises(GateError, match="the exception ended on 2026-11-23"):
        judge(REPORT, [waiver(until=date(2026, 11, 23))], TODAY)


def test_a_waiver_covers_its_own_package_only():
    with pytest.raises(GateError, match="PYSEC-2026-1"):
        judge(REPORT, [waiver(package="pillow")], TODAY)


def test_packages_that_the_service_did_not_answer_about_are_not_taken_for_sound():
    """T46. Recorded where the index has no advisories: pip-audit 2.10.1 itself ended with 0."""
    reason = "Dependency not found on PyPI and could not be audited:"
    recorded = f"""{{"dependencies": [
      {{"name": "requests", "skip_reason": "{reason} requests (2.33.0)"}},
      {{"name": "torchserve", "skip_reason": "{reason} torchserve (0.12.0)"}}
    ], "fixes": []}}"""
    with pytest.raises(ServiceError, match=r"2 of 2 packages were not audited.*requests"):
        judge(Report.model_validate_json(recorded), [], TODAY)


def test_an_empty_report_is_no_audit():
    with pytest.raises(ServiceError, match="0 of 0"):
        judge(Report(dependencies=[]), [], TODAY)


def test_an_audit_without_an_answer_is_told(tmp_path: Path):
    (tmp_path / "constraints.txt").write_text("no requirement at all ==\n")
    with pytest.raises(ServiceError, match="nothing was audited"):
        ask(tmp_path / "constraints.txt")


def test_an_audit_whose_program_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match="pip-audit cannot be run"):
        ask(tmp_path / "constraints.txt")
