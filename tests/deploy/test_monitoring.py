"""Alerts and dashboard: what they ask for exists, and the alerts fire for what they say and for nothing else."""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from model.serving.metrics import Metrics
from tests.deploy.manifests import DEPLOY, ROOT

MONITORING = DEPLOY / "monitoring"
GROUPS = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
PANELS = DASHBOARD["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel.get("targets", [])]

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)"
)

# Some hours of one endpoint: 100 pictures with a face between two samples, and nothing unusual.
SAMPLES = 180
STEP = {"residual-mtl service": "1m", "residual-mtl drift": "5m"}
"""Between two samples; a group is tried by itself, which is ten times faster."""


def series(name, **labels):
    """A series as promtool names it."""
    pairs = {"job": "residual-mtl", "instance": "a"} | labels
    text = ",".join(f'{key}="{value}"' for key, value in pairs.items())
    return f"{name}{{{text}}}"


def steady(value):
    """A gauge that stays."""
    return f"{value}x{SAMPLES}"


def turned(before, after, last):
    """A gauge that is `after` in the last samples."""
    return f"{before}x{SAMPLES - last} {after}x{last - 1}"


def then(before, after, last=30):
    """A counter that grows by `before` a sample, and by `after` in the last ones."""
    first = SAMPLES - last
    return f"0+{before}x{first} {before * first + after}+{after}x{last - 1}"


USUAL = {
    series("up"): steady(1),
    series("rmtl_model_ready"): steady(1),
    series("rmtl_change_refused"): steady(0),
    series("rmtl_requests_in_flight"): steady(2),
    series("rmtl_requests_in_flight_limit"): steady(16),
    series("rmtl_requests_total", code="ok"): then(100, 100),
    series("rmtl_requests_total", code="overloaded"): then(0, 0),
    series("rmtl_requests_total", code="not_an_image"): then(5, 5),
    series("rmtl_requests_total", code="unauthorized"): then(0, 0),
    series("rmtl_answers_total", version="7"): then(100, 100),
    series("rmtl_request_seconds_bucket", le="0.05"): then(100, 100),
    series("rmtl_request_seconds_bucket", le="5.0"): then(100, 100),
    series("rmtl_request_seconds_bucket", le="+Inf"): then(100, 100),
    series("process_resident_memory_bytes"): steady(80_000_000),
    series("rmtl_picture_brightness_sum"): then(50, 50),
    series("rmtl_picture_brightness_count"): then(100, 100),
    series("rmtl_picture_side_pixels_sum"): then(100_000, 100_000),
    series("rmtl_picture_side_pixels_count"): then(100, 100),
    series("rmtl_picture_faces_bucket", le="0.0"): then(10, 10),
    series("rmtl_picture_faces_count"): then(100, 100),
    series("rmtl_face_side_pixels_sum"): then(20_000, 20_000),
    series("rmtl_face_side_pixels_count"): then(100, 100),
    series("rmtl_face_confidence_sum"): then(90, 90),
    series("rmtl_face_confidence_count"): then(100, 100),
    series("rmtl_faces_total", expression="happy"): then(50, 50),
    series("rmtl_faces_total", expression="neutral"): then(50, 50),
}
UNUSUAL = {
    "EndpointDown": {series("up"): turned(1, 0, 5)},
    "ModelNotReady": {series("rmtl_model_ready"): turned(1, 0, 5)},
    "RequestsRefused": {series("rmtl_requests_total", code="overloaded"): then(0, 5)},
    "NearItsLimit": {series("rmtl_requests_in_flight"): turned(2, 15, 30)},
    "SlowAnswers": {series("rmtl_request_seconds_bucket", le="0.05"): then(100, 95)},
    "ManyBadRequests": {series("rmtl_requests_total", code="not_an_image"): then(5, 50, 60)},
    "WrongTokens": {series("rmtl_requests_total", code="unauthorized"): then(0, 60)},
    "TwoVersions": {series("rmtl_answers_total", version="8"): then(0, 20, 90)},
    "ChangeRefused": {series("rmtl_change_refused"): turned(0, 1, 5)},
    "MemoryGrows": {series("process_resident_memory_bytes"): then(0, 2_000_000, 150)},
    "BrightnessMoved": {series("rmtl_picture_brightness_sum"): then(50, 30)},
    "PictureSizeMoved": {series("rmtl_picture_side_pixels_sum"): then(100_000, 30_000)},
    "FaceSizeMoved": {series("rmtl_face_side_pixels_sum"): then(20_000, 80_000)},
    "FacesMissing": {series("rmtl_picture_faces_bucket", le="0.0"): then(10, 50)},
    "ConfidenceFell": {series("rmtl_face_confidence_sum"): then(90, 80)},
    "ExpressionsMoved": {
        series("rmtl_faces_total", expression="happy"): then(50, 75),
        series("rmtl_faces_total", expression="neutral"): then(50, 25),
    },
}
"""What each alert is for; nothing else is changed."""


def fired(alert):
    """How promtool names an alert of the endpoint."""
    by_instance = alert in ("EndpointDown", "ModelNotReady", "NearItsLimit", "ChangeRefused", "MemoryGrows")
    labels = {"job": "residual-mtl", "severity": ALERTS[alert]["labels"]["severity"]}
    labels |= {"instance": "a"} if by_instance else {}
    return {"exp_labels": labels, "exp_annotations": ALERTS[alert]["annotations"]}


def case(group, changed, firing=()):
    """Hours of the endpoint, and which alerts of a group fire at their end."""
    values = USUAL | changed
    step = STEP[group["name"]]
    return {
        "interval": step,
        "input_series": [{"series": key, "values": value} for key, value in values.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{SAMPLES * int(step[:-1])}m",
                "alertname": rule["alert"],
                "exp_alerts": [fired(rule["alert"])] if rule["alert"] in firing else [],
            }
            for rule in group["rules"]
        ],
    }


def promtool(*arguments):
    run = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@needs_promtool
def test_promtool_accepts_configuration_and_rules():
    promtool("check", "config", "--syntax-only", MONITORING / "prometheus.yml")
    promtool("check", "rules", MONITORING / "alerts.yml")


@needs_promtool
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group["name"])
def test_each_alert_fires_for_its_cause_alone(group, tmp_path):
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
    cases = [case(group, {}), *(case(group, UNUSUAL[rule["alert"]], {rule["alert"]}) for rule in group["rules"])]
    test = {"rule_files": ["rules.yml"], "evaluation_interval": STEP[group["name"]], "tests": cases}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    promtool("test", "rules", tmp_path / "test.yml")


@needs_promtool
def test_promtool_understands_what_the_dashboard_asks(tmp_path):
    asked = [text.replace("$__rate_interval", "5m") for text in EXPRESSIONS]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_only_metrics_that_the_router_has_are_asked_for():
    metrics = Metrics(in_flight=lambda: 0, limit=lambda: 1)
    metrics.refused("overloaded")
    metrics.answered("7", 0.1, None)
    shown = metrics.show(ready=True).decode()
    there = set(re.findall(r"^(\w+)", shown, flags=re.MULTILINE)) | set(re.findall(r"^# TYPE (\w+)", shown, flags=re.M))
    asked = [*EXPRESSIONS, *(rule["expr"] for rule in ALERTS.values())]
    assert set(re.findall(r"\b(?:rmtl|process)_\w+", " ".join(asked))) - there == set()
    assert len(EXPRESSIONS) > 20


def test_the_runbook_tells_of_each_alert_what_it_means_and_what_to_do():
    page = (ROOT / "docs/RUNBOOK.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\S.*) \| (\S.*) \|$", page, flags=re.MULTILINE)
    assert [row[0] for row in rows if row[0] in ALERTS] == list(ALERTS)


def test_every_alert_says_how_grave_it_is_and_waits():
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert rule["for"] and rule["annotations"]["summary"], name


def test_panels_do_not_overlap_and_have_a_source():
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in itertools.combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)
    for panel in PANELS:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"


def test_no_token_stands_in_the_files():
    for path in MONITORING.iterdir():
        assert not re.search(r"(?i)bearer\s+\w|credentials:\s*\S|password", path.read_text()), path


def test_the_job_of_the_rules_is_that_of_the_configuration():
    (scraped,) = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    named = set(re.findall(r'job="([^"]+)"', (MONITORING / "alerts.yml").read_text()))
    assert named == {scraped["job_name"]}
    assert Path(scraped["authorization"]["credentials_file"]).is_absolute()
