"""Topology as a parameter, and the launcher's environment."""

import pytest

from model.errors import ConfigError
from model.launch import parse_topology
from model.launch.settings import read_settings


def test_numbers_may_arrive_as_floats():
    """A pipeline's parameter is JSON."""
    topology = parse_topology({"launcher": "trainjob", "nodes": 2.0, "processes": 0.0})
    assert (topology.nodes, topology.processes) == (2, 0)


def test_no_number_of_processes_means_one_a_gpu_else_one():
    assert parse_topology({"launcher": "step", "nodes": 1, "processes": 0}).processes_here >= 1


def test_every_wrong_value_is_told_at_once_with_its_name():
    with pytest.raises(ConfigError, match="topology: 3 wrong") as error:
        parse_topology({"launcher": "step", "nodes": 2, "processes": -1, "gpus": 8})
    for part in ("topology.nodes: ", "one node only; choose trainjob", "topology.processes: ", "topology.gpus: "):
        assert part in str(error.value)


def test_an_unknown_launcher_is_refused():
    with pytest.raises(ConfigError, match=r"topology\.launcher"):
        parse_topology({"launcher": "ssh", "nodes": 1, "processes": 1})


def test_every_wrong_setting_is_told_at_once_with_its_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("RMTL_TRAIN_BACKEND", "slurm")
    monkeypatch.setenv("RMTL_SHARED", str(tmp_path / "nowhere"))
    monkeypatch.setenv("RMTL_TRAIN_TIMEOUT_S", "soon")
    with pytest.raises(ConfigError, match="environment: 3 wrong") as error:
        read_settings()
    for name in ("RMTL_TRAIN_BACKEND=slurm", "RMTL_SHARED=", "RMTL_TRAIN_TIMEOUT_S=soon"):
        assert name in str(error.value)


def test_the_command_refuses_a_topology_before_it_looks_for_data(rmtl, workspace):
    result = rmtl("train", "--nodes", "2", cwd=workspace)
    assert result.returncode == 2
    assert "topology.nodes" in result.stderr
