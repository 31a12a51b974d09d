import csv
import json

import pytest

from model.errors import StorageError
from model.train.log import NullLog
from model.train.spool import Spool


class Heard:
    def __init__(self):
        self.told = []

    def params(self, values):
        self.told.append(("params", dict(values)))

    def metrics(self, values, step):
        self.told.append((step, dict(values)))


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def rows(folder):
    return list(csv.DictReader((folder / "history.csv").open()))


def test_all_that_is_told_is_on_disk_at_once_and_passed_on(tmp_path):
    heard = Heard()
    spool = Spool(tmp_path, heard)
    spool.params({"train.lr": 0.1})
    spool.metrics({"train/landmarks": 0.5}, 20)
    assert lines(tmp_path)[0] == {"params": {"train.lr": 0.1}}
    assert lines(tmp_path)[1]["step"] == 20
    assert lines(tmp_path)[1]["values"] == {"train/landmarks": 0.5}
    assert heard.told == [("params", {"train.lr": 0.1}), (20, {"train/landmarks": 0.5})]


def test_a_full_disk_names_the_spool(tmp_path):
    """T19."""
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"metrics\.jsonl: .* bytes cannot be appended"):
        Spool(tmp_path, NullLog()).metrics({"train/lr": 0.1}, 1)


def test_restart_drops_what_lies_past_the_checkpoint_and_a_line_cut_short(tmp_path):
    spool = Spool(tmp_path, NullLog())
    spool.params({"seed": 0})
    for step in (20, 40, 60):
        spool.metrics({"a": 1.0}, step)
    for epoch in (1, 2, 3):
        spool.epoch({"epoch": epoch, "a": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 10, "val')
    again = Spool(tmp_path, NullLog())
    again.restart(40, 2)
    again.params({"seed": 0})
    assert [line.get("step") for line in lines(tmp_path)] == [None, 20, 40]
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2"]


def test_restart_from_the_beginning_drops_all(tmp_path):
    spool = Spool(tmp_path, NullLog())
    spool.params({"seed": 0})
    spool.epoch({"epoch": 1})
    spool.restart(0, 0)
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert (tmp_path / "history.csv").read_text() == ""


def test_a_new_column_leaves_a_gap_in_former_rows(tmp_path):
    spool = Spool(tmp_path, NullLog())
    spool.epoch({"epoch": 1, "a": 0.5})
    spool.epoch({"epoch": 2, "b": 0.25})
    assert rows(tmp_path) == [{"epoch": "1", "a": "0.5", "b": ""}, {"epoch": "2", "a": "", "b": "0.25"}]


def test_a_process_that_does_not_lead_writes_nothing(tmp_path):
    spool = Spool(tmp_path / "none", Heard(), active=False)
    spool.params({"seed": 0})
    spool.metrics({"a": 1.0}, 1)
    spool.epoch({"epoch": 1})
    spool.restart(1, 1)
    assert not (tmp_path / "none").exists()


def test_a_resumed_curve_is_cut_by_step_when_the_clock_went_back(tmp_path, monkeypatch):
    """T23."""
    spool = Spool(tmp_path, NullLog())
    for step, now in ((10, 7200.0), (20, 3600.0), (30, 3700.0)):
        monkeypatch.setattr("model.train.spool.time.time", lambda now=now: now)
        spool.metrics({"train/loss": 1.0}, step)
        spool.epoch({"epoch": step // 10})
    spool.restart(20, 2)
    assert [(line["step"], line["time"]) for line in lines(tmp_path)] == [(10, 7200.0), (20, 3600.0)]
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2"]
