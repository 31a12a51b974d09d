"""The command line: names, help and exit codes that users' scripts rely on."""

import json
import re
import shutil
import socket
from pathlib import Path

import pytest
from dvc.repo import Repo

from model.cli.predict import drawn_names
from model.config import Config, dump_config, flatten, load_config
from tests.command import Command
from tests.kfp_server import TOKEN, run_kfp
from tests.untrained import make_weights

COMMANDS = (
    "index",
    "validate",
    "shard",
    "train",
    "evaluate",
    "register",
    "promote",
    "package",
    "deploy",
    "rollback",
    "history",
    "keys",
    "lineage",
    "verify",
    "sync",
    "audit",
    "search",
    "predict",
    "pipeline",
    "data",
    "recipe",
    "plot",
    "doctor",
)


def test_help_lists_every_command(rmtl: Command, root: Path) -> None:
    text = rmtl("--help", cwd=root).stdout
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("pipeline", "data")])
def test_each_command_has_help_with_an_example(rmtl: Command, command: str, root: Path) -> None:
    result = rmtl(command, "--help", cwd=root)
    assert result.returncode == 0
    assert f"Example: rmtl {command}" in " ".join(result.stdout.split())


def test_wrong_parameters_end_with_exit_code_2(rmtl: Command, workspace: Path) -> None:
    result = rmtl("index", "--set", "train.lr=-1", "--set", "seed=x", cwd=workspace)
    assert result.returncode == 2
    assert "train.lr" in result.stderr
    assert "seed" in result.stderr


def test_an_unknown_option_ends_with_exit_code_2(rmtl: Command, workspace: Path) -> None:
    assert rmtl("index", "--nonsense", cwd=workspace).returncode == 2


def test_missing_data_ends_with_exit_code_3_or_1_and_a_hint(rmtl: Command, workspace: Path) -> None:
    result = rmtl("index", cwd=workspace)
    assert result.returncode == 3
    assert "data/sample" in result.stderr
    assert not (workspace / "artifacts").exists()


def test_a_recipe_changes_values_and_keeps_comments(rmtl: Command, workspace: Path) -> None:
    before = (workspace / "params.yaml").read_text()
    result = rmtl("recipe", "row-hard-sharing", cwd=workspace)
    assert result.returncode == 0, result.stderr
    after = (workspace / "params.yaml").read_text()
    assert after.splitlines()[0] == before.splitlines()[0]
    assert "kind: none" in after
    assert "kind: cross" not in after


def test_values_are_listed_as_lines_or_as_one_mapping(rmtl: Command, workspace: Path) -> None:
    values = flatten(dump_config(load_config(workspace / "params.yaml")))
    assert json.loads(rmtl("recipe", "--show", "--json", cwd=workspace).stdout) == values
    assert f"train.lr: {values['train.lr']}" in rmtl("recipe", "--show", cwd=workspace).stdout.splitlines()


def test_a_recipe_tells_as_json_what_it_wrote(rmtl: Command, workspace: Path) -> None:
    written = json.loads(rmtl("recipe", "row-hard-sharing", "--json", cwd=workspace).stdout)
    assert (written["params"], written["recipe"]) == ("params.yaml", "row-hard-sharing")
    values = flatten(dump_config(load_config(workspace / "params.yaml")))
    assert written["values"].items() <= values.items()


def test_plots_are_listed_as_lines_or_as_one_list(rmtl: Command, workspace: Path) -> None:
    names = [f"reports/plots/{name}.png" for name in ("confusion", "reliability")]
    (workspace / "reports/plots").mkdir(parents=True)
    for name in names:
        (workspace / name).touch()
    assert rmtl("plot", "evaluation", cwd=workspace).stdout.split() == names
    assert json.loads(rmtl("plot", "evaluation", "--json", cwd=workspace).stdout) == names


def test_an_unknown_recipe_lists_those_that_exist(rmtl: Command, workspace: Path) -> None:
    result = rmtl("recipe", "nonsense", cwd=workspace)
    assert result.returncode == 2
    assert "real-cpu" in result.stderr


@pytest.mark.parametrize("content", [b"train.lr: [", b"\xff\xfe"])
def test_a_recipe_that_is_no_yaml_is_named(rmtl: Command, workspace: Path, content: bytes) -> None:
    recipes = workspace / "recipes"
    if recipes.is_symlink():
        recipes.unlink()
    recipes.mkdir(exist_ok=True)
    (recipes / "mine.yaml").write_bytes(content)
    result = rmtl("recipe", "mine", cwd=workspace)
    assert result.returncode == 2
    assert "recipes/mine.yaml: no YAML" in result.stderr


def test_drawn_pictures_of_one_name_lie_side_by_side() -> None:
    images = ["a/face.jpg", "s3://b/face.png", "face-2.jpg", "c/face.jpg"]
    assert drawn_names(images) == ["face.png", "face-2.png", "face-2-2.png", "face-3.png"]


def test_an_endpoint_is_not_asked_for_a_convention(rmtl: Command, workspace: Path) -> None:
    result = rmtl("predict", "photo.jpg", "--url", "http://127.0.0.1:9", "--convention", "ferplus", cwd=workspace)
    assert result.returncode == 2 and "give --weights instead of --url" in result.stderr


def test_predict_without_weights_says_how_to_get_some(rmtl: Command, workspace: Path) -> None:
    result = rmtl("predict", "photo.jpg", cwd=workspace)
    assert result.returncode == 1
    assert "rmtl data pull" in result.stderr


def test_answers_are_json_lines_asked_for_or_not(rmtl: Command, workspace: Path, config: Config) -> None:
    make_weights(config, workspace / "artifacts/train", seed=0)
    (workspace / "text.jpg").write_text("Not a picture at all.")
    plain, asked = (rmtl("predict", "text.jpg", *options, cwd=workspace) for options in ([], ["--json"]))
    assert asked == plain
    assert json.loads(asked.stdout)["error"]["code"] == "not_an_image"


def test_a_malformed_case_is_named_by_line(rmtl: Command, workspace: Path) -> None:
    (workspace / "cases.jsonl").write_text('{"image": "a.png", "box": null}\n{"box": null}\n')
    result = rmtl("predict", "--cases", "cases.jsonl", cwd=workspace)
    assert result.returncode == 2
    assert "cases.jsonl:2" in result.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["predict", "--cases", "missing.jsonl"], "--cases missing.jsonl: No such file"),
        (["predict", "photo.jpg", "--weights", "models:/x"], "models:/x: not a model address"),
        (["plot", "evaluation"], "reports/plots: holds no plots; run `rmtl evaluate`"),
    ],
)
def test_options_that_name_nothing_end_with_exit_code_2(
    rmtl: Command, workspace: Path, command: list[str], said: str
) -> None:
    result = rmtl(*command, cwd=workspace)
    assert (result.returncode, said in result.stderr) == (2, True), result.stderr


def test_doctor_prints_a_line_each(rmtl: Command, root: Path) -> None:
    result = rmtl("doctor", "--json", cwd=root)
    findings = {item["name"]: item["status"] for item in json.loads(result.stdout)}
    assert {"python", "java", "disk", "mlflow", "s3", "torch"} <= set(findings)
    assert result.returncode == 0


def test_doctor_reports_a_dead_service_with_exit_code_5(
    rmtl: Command, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    result = rmtl("doctor", cwd=root)
    assert result.returncode == 5
    assert "away  mlflow" in result.stdout


@pytest.mark.parametrize("address", ["mysql://host/db", "file:///runs", "postgresql+nodriver://host/db", "http://"])
def test_doctor_takes_no_address_that_the_registry_refuses(
    rmtl: Command, root: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    result = rmtl("doctor", cwd=root)
    assert result.returncode == 5
    assert "away  mlflow" in result.stdout


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("postgresql+psycopg://ada:hidden@127.0.0.1:9/db", "away  search storage     its host does not answer"),
        ("postgresql+psycopg://ada:hid/den@127.0.0.1:hid/db", "away  search storage     its address is none"),
        ("hidden", "away  search storage     its address is none"),
        ("oracle+hidden://ada:hidden@host/db", "away  search storage     its address is none"),
        ("postgresql+psycopg:///db?password=hidden", "note  search storage     not asked: its address names no host"),
        ("sqlite:///study.db", "ok    search storage     a file of SQLite"),
    ],
)
def test_doctor_asks_the_host_of_a_search_and_shows_no_password(
    rmtl: Command, root: Path, monkeypatch: pytest.MonkeyPatch, address: str, line: str
) -> None:
    monkeypatch.setenv("RMTL_SEARCH_STORAGE", address)
    result = rmtl("doctor", cwd=root)
    assert line in result.stdout
    assert result.returncode == (5 if line.startswith("away") else 0)
    assert not re.search("hid|Traceback", result.stdout + result.stderr)


def test_doctor_finds_a_search_storage_that_answers(rmtl: Command, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"postgresql+psycopg://ada:hidden@127.0.0.1:{server.getsockname()[1]}/db"
        monkeypatch.setenv("RMTL_SEARCH_STORAGE", address)
        assert "ok    search storage     its host answers" in rmtl("doctor", cwd=root).stdout


def test_doctor_advises_only_ports_that_somebody_reads(rmtl: Command, root: Path) -> None:
    names = [item["name"] for item in json.loads(rmtl("doctor", "--json", cwd=root).stdout)]
    assert [name for name in names if name.startswith("port ")] == ["port endpoint"]


@pytest.mark.parametrize(
    "address", ["mysql+pymysql://ada:hid/den@host/db", "postgresql://ada:hid/den@host/db", "http://mlflow..svc:5000"]
)
def test_doctor_shows_no_password_and_no_traceback(
    rmtl: Command, root: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Whatever the address of MLflow looks like."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    result = rmtl("doctor", cwd=root)
    assert "mlflow" in result.stdout
    assert not re.search("hid|Traceback", result.stdout + result.stderr)


def test_doctor_says_nothing_of_a_kubeflow_that_is_not_configured(
    rmtl: Command, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RMTL_KFP_HOST", raising=False)
    result = rmtl("doctor", cwd=root)
    assert result.returncode == 0
    assert "ok    kubeflow           not configured" in result.stdout


@pytest.mark.service
def test_doctor_asks_a_configured_kubeflow_and_shows_no_token(
    rmtl: Command, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_kfp(token=TOKEN) as kfp:
        monkeypatch.setenv("RMTL_KFP_HOST", kfp.url)
        monkeypatch.setenv("RMTL_KFP_TOKEN", TOKEN)
        assert f"ok    kubeflow           {kfp.url} answers" in rmtl("doctor", cwd=root).stdout
        monkeypatch.setenv("RMTL_KFP_TOKEN", "worn-out-canary")
        refused = rmtl("doctor", cwd=root)
    gone = rmtl("doctor", cwd=root)
    for result in (refused, gone):
        assert result.returncode == 5
        assert "away  kubeflow" in result.stdout
        assert "canary" not in result.stdout + result.stderr


def test_restricted_data_never_enters_the_bundled_store(rmtl: Command, workspace: Path) -> None:
    assert rmtl("recipe", "real-cpu", cwd=workspace).returncode == 0
    result = rmtl("data", "push", "--remote", "bundled", cwd=workspace)
    assert result.returncode == 2
    assert "restricted" in result.stderr


@pytest.mark.parametrize("remote", ["bundled", "near"])
def test_a_folder_that_no_unrestricted_source_names_never_enters_the_bundled_store(
    rmtl: Command, workspace: Path, remote: str
) -> None:
    """The version still holds a restricted set after params.yaml went back, under either name of the store's folder."""
    for file in ("sample/labels.jsonl", "affectnet/001.jpg"):
        (workspace / "data" / file).parent.mkdir(parents=True)
        (workspace / "data" / file).write_text(file)
    repository = Repo.init(str(workspace), no_scm=True)
    remotes = (f"['remote \"{name}\"']\n    url = ../store\n" for name in ("bundled", "near"))
    (workspace / ".dvc/config").write_text("[core]\n    no_scm = true\n" + "".join(remotes))
    repository.add(str(workspace / "data"))
    (workspace / "store").mkdir()
    unknown = rmtl("data", "pull", "--remote", "typo", cwd=workspace)
    assert unknown.returncode == 2
    assert "--remote typo: no such DVC remote; there are bundled, near" in unknown.stderr
    refused = rmtl("data", "push", "--remote", remote, cwd=workspace)
    assert (refused.returncode, list((workspace / "store").iterdir())) == (2, [])
    assert "affectnet" in refused.stderr
    assert "sample" not in refused.stderr
    shutil.rmtree(workspace / "data/affectnet")
    repository.add(str(workspace / "data"))
    repository.close()
    assert rmtl("data", "push", "--remote", remote, cwd=workspace).returncode == 0
    assert len(list((workspace / "store/files/md5").glob("*/*"))) == 2


def test_the_state_of_the_data_is_one_json_object(rmtl: Command, workspace: Path) -> None:
    (workspace / "data").mkdir()
    (workspace / "data/labels.jsonl").write_text("first")
    repository = Repo.init(str(workspace), no_scm=True)
    (workspace / ".dvc/config").write_text("[core]\n    no_scm = true\n['remote \"bundled\"']\n    url = ../store\n")
    repository.add(str(workspace / "data"))
    (workspace / "store").mkdir()
    pushed = rmtl("data", "status", "--json", cwd=workspace)
    states = json.loads(pushed.stdout)
    assert pushed.returncode == 0
    assert (states["data"], states["weights"], states["weights_remote"]) == ({}, None, None)
    assert set(states["data_remote"].values()) == {"new"}
    (workspace / "data/labels.jsonl").unlink()
    (workspace / "data/labels.jsonl").write_text("second")
    (workspace / "weights").mkdir()
    (workspace / "weights/weights.safetensors").write_text("weights")
    repository.add(str(workspace / "weights"))
    repository.close()
    states = json.loads(rmtl("data", "status", "--json", cwd=workspace).stdout)
    assert states["data"] == {"data.dvc": [{"changed outs": {"data": "modified"}}]}
    assert states["weights"] == {}
    assert set(states["weights_remote"].values()) == {"new"}
