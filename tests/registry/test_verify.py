"""`rmtl lineage` and `rmtl verify`: from an answer, an endpoint or a version to the data, hop by hop."""

import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from model.config import Config
from model.data.manifest import data_digest, write_manifest
from model.errors import ConfigError, RegistryError, ServiceError
from model.registry.client import open_store
from model.registry.delivery import ask
from model.registry.promotion import promote
from model.registry.registry import register_version
from model.schema import Deployment, FaceRecord
from model.serving.archive import package
from model.serving.golden import golden_pictures
from model.serving.predictor import Predictor
from model.serving.schema import Origin
from model.storage import read_json, write_json
from model.weights import META_FILE, WEIGHTS_FILE, load_weights, save_weights
from tests.answering import answering
from tests.command import Command, Result
from tests.digests import stated_digests
from tests.untrained import make_evaluation, make_weights

RECORDS = [FaceRecord("a-1", "a", "train", "", "a/1.png", sha256="0")]
DATA = data_digest(RECORDS)
ORIGIN = Origin("1", DATA)
NAME = "residual-mtl"
MAR = "artifacts/deployed/residual-mtl.mar"
ANSWERS = "answers.jsonl"
HOPS = [
    *("answer", "version", "weights", "evaluation", "promotion", "run", "archive", "served"),
    *("code", "config", "lock", "dvc", "dvc.lock", "data", "manifest"),
]


@dataclass
class Clone:
    """A working folder whose version 1 is champion, and what a test starts in it."""

    root: Path
    other: Path
    predictor: Predictor
    deploy: Callable[..., str]


class Fixed:
    """Answers every picture alike."""

    def __init__(self, **answer: Any) -> None:
        self._answer = answer

    def predict(self, *_: object) -> dict[str, Any]:
        return self._answer


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def template(root: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit, weights that its training stage left, and the archive of their deployment."""
    folder = tmp_path_factory.mktemp("verify") / "template"
    folder.mkdir()
    shutil.copy(root / "params.yaml", folder)
    (folder / "constraints.txt").write_text("torch==2.13.0\n")
    (folder / "data.dvc").write_text("outs:\n- md5: 0123456789abcdef.dir\n  path: data\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "Start")
    write_manifest(folder / "artifacts/manifest.valid.parquet", RECORDS)
    trained = _trained(config, folder / "artifacts/train", seed=0, commit=git(folder, "rev-parse", "HEAD"))
    make_evaluation(folder / "reports/evaluation.json", trained, 5.0)
    write_lock(folder, trained)
    package(config.package, weights=trained, out=(folder / MAR).parent, version="1")
    (folder / "picture.png").write_bytes(golden_pictures(1)[0][0])
    return folder


@pytest.fixture(scope="module")
def predictor(template: Path) -> Predictor:
    return Predictor(template / "artifacts/train", version="1")


@pytest.fixture(scope="module")
def other(config: Config, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other weights on the same data."""
    commit = git(template, "rev-parse", "HEAD")
    return _trained(config, tmp_path_factory.mktemp("other") / "train", seed=1, commit=commit)


def _trained(config: Config, folder: Path, *, seed: int, commit: str) -> Path:
    make_weights(config, folder, seed=seed)
    state, meta = load_weights(folder)
    save_weights(folder, state, meta.model_copy(update={"data_digest": DATA, "code": {"git": commit}}))
    return folder


def write_lock(folder: Path, weights: Path, **train: Any) -> None:
    """A dvc.lock whose training left these weights, with other values of `train` where they are given."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    path = weights / WEIGHTS_FILE
    digest = subprocess.run(["md5sum", path], check=True, capture_output=True, text=True).stdout.split()[0]
    stage = {
        "cmd": "rmtl train",
        "params": {"params.yaml": {"seed": params["seed"], "train": params["train"] | train}},
        "outs": [{"path": f"artifacts/train/{WEIGHTS_FILE}", "hash": "md5", "md5": digest}],
    }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"train": stage}}, sort_keys=False))


@pytest.fixture
def folder(template: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the template, with an empty registry."""
    shutil.copytree(template, workspace, dirs_exist_ok=True)
    monkeypatch.delenv("RMTL_ENDPOINT_TOKEN", raising=False)
    return workspace


def register(folder: Path, config: Config, *, data_version: str = "") -> None:
    weights, reports = folder / "artifacts/train", folder / "reports"
    places: dict[str, Path] = {
        "weights": weights,
        "evaluation": reports / "evaluation.json",
        "out": reports / "registration.json",
    }
    register_version(config.register_, **places, data_version=data_version)
    promote(config.register_, who="ada", why="first")


@pytest.fixture
def clone(folder: Path, config: Config, predictor: Predictor, other: Path) -> Iterator[Clone]:
    register(folder, config)
    with ExitStack() as stack:

        def deploy(with_: Predictor = predictor, header: Origin = ORIGIN, body: Origin | None = None) -> str:
            url = stack.enter_context(answering(with_, header, body))
            deployment = Deployment(url, NAME, "1", None, None)
            write_json(folder / "reports/deployment.json", asdict(deployment))
            return url

        yield Clone(folder, other, predictor, deploy)


def broken(result: Result) -> list[str]:
    """Names of the hops that the message of `verify` gives, one a line."""
    return re.findall(r"^  (\S+) .*: .", result.stderr, flags=re.MULTILINE)


def test_an_answer_leads_to_its_data_through_every_hop(rmtl: Command, clone: Clone) -> None:
    """T36: answer, version, run, commit, lock files, DVC digest, manifest; from a file and from the endpoint itself."""
    url = clone.deploy()
    result = rmtl("predict", "picture.png", "--url", url, "--out", ANSWERS, cwd=clone.root)
    assert result.returncode == 0, result.stderr
    for subject in (ANSWERS, url):
        result = rmtl("verify", subject, "--json", cwd=clone.root)
        assert result.returncode == 0, result.stderr
        hops = {hop["hop"]: hop for hop in json.loads(result.stdout)}
        assert list(hops) == HOPS
        assert [hop for hop in hops.values() if hop["problem"] or hop["value"] in ("none", "unknown")] == []
        assert hops["answer"]["value"] == f"version 1, data {DATA}"
    assert rmtl("lineage", ANSWERS, cwd=clone.root).stdout.count("  ok\n") == len(HOPS)
    assert rmtl("verify", cwd=clone.root).returncode == 0


def test_the_digest_of_the_data_is_one_string_from_manifest_to_answer(rmtl: Command, clone: Clone) -> None:
    """T36."""
    url = clone.deploy()
    assert rmtl("predict", "picture.png", "--url", url, "--out", ANSWERS, cwd=clone.root).returncode == 0
    answer = json.loads((clone.root / ANSWERS).read_text())
    assert {**stated_digests(clone.root), "answer": answer["data_digest"]} == dict.fromkeys(
        ["manifest", "weights", "evaluation", "run", "version", "archive", "answer"], DATA
    )


def test_answers_of_weights_that_no_endpoint_gave_are_followed_by_their_digest(rmtl: Command, clone: Clone) -> None:
    for weights in (f"models:/{NAME}@champion", MAR, "artifacts/train"):
        assert rmtl("predict", "picture.png", "--weights", weights, "--out", ANSWERS, cwd=clone.root).returncode == 0
        result = rmtl("verify", ANSWERS, cwd=clone.root)
        assert result.returncode == 0, result.stderr
        assert f"models:/{NAME}/1 " in result.stdout


def test_what_never_was_deployed_or_made_by_dvc_is_not_broken(rmtl: Command, folder: Path, config: Config) -> None:
    shutil.rmtree((folder / MAR).parent)
    (folder / "dvc.lock").unlink()
    register(folder, config)
    result = rmtl("verify", "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    values = {hop["hop"]: hop["value"] for hop in json.loads(result.stdout)}
    assert {values[name] for name in ("archive", "served", "dvc.lock")} == {"none"}


def test_a_step_that_runs_where_no_data_dvc_is_names_the_version_it_was_given(
    rmtl: Command, folder: Path, config: Config
) -> None:
    """T36."""
    (folder / "data.dvc").unlink()
    register(folder, config, data_version="0123456789abcdef.dir")
    result = rmtl("verify", cwd=folder)
    assert result.returncode == 0, result.stderr


def test_an_endpoint_that_was_stopped_is_not_broken(rmtl: Command, clone: Clone) -> None:
    write_json(clone.root / "reports/deployment.json", asdict(Deployment("http://127.0.0.1:9", NAME, "1", None, None)))
    result = rmtl("verify", cwd=clone.root)
    assert result.returncode == 0, result.stderr
    assert "which no longer answers" in result.stdout
    result = rmtl("verify", "http://127.0.0.1:9", cwd=clone.root)
    assert result.returncode == ServiceError.exit_code


def test_a_later_training_leaves_the_stage_of_the_former_one_in_the_commits(rmtl: Command, clone: Clone) -> None:
    """It has to be committed before."""
    git(clone.root, "add", "dvc.lock")
    git(clone.root, "commit", "-qm", "Train")
    write_lock(clone.root, clone.other)
    result = rmtl("verify", cwd=clone.root)
    assert result.returncode == 0, result.stderr
    assert f"({git(clone.root, 'rev-parse', '--short', 'HEAD')})" in result.stdout


def test_weights_made_beside_a_stage_have_none(rmtl: Command, folder: Path, config: Config, other: Path) -> None:
    write_lock(folder, other)
    register(folder, config)
    result = rmtl("verify", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^dvc\.lock +none ", result.stdout, flags=re.MULTILINE)


def tag(name: str) -> Callable[[Clone], None]:
    def change(_: Clone) -> None:
        with open_store() as store:
            store.client.set_model_version_tag(NAME, "1", name, "f" * 40)

    return change


def stored(file: str) -> Callable[[Clone], None]:
    """A changed file among the version's artifacts."""

    def change(_: Clone) -> None:
        with open_store() as store:
            source = Path(store.client.get_model_version(NAME, "1").source.removeprefix("file://"))
        (path,) = source.glob(file)
        path.write_bytes(b"other")

    return change


def another_commit(clone: Clone) -> None:
    git(clone.root, "commit", "-q", "--allow-empty", "-m", "Another")
    with open_store() as store:
        store.client.set_model_version_tag(NAME, "1", "git_revision", git(clone.root, "rev-parse", "HEAD"))


def disowned(_: Clone) -> None:
    with open_store() as store:
        version = store.client.get_model_version(NAME, "1")
        store.client.delete_tag(version.run_id, f"weights.{version.tags['weights_digest']}")


def other_manifest(clone: Clone) -> None:
    records = [*RECORDS, FaceRecord("a-2", "a", "test", "", "a/2.png")]
    write_manifest(clone.root / "artifacts/manifest.valid.parquet", records)


def other_archive(clone: Clone) -> None:
    write_members(clone.root / MAR, {name: (clone.other / name).read_bytes() for name in (WEIGHTS_FILE, META_FILE)})


def archive_of_other_data(clone: Clone) -> None:
    meta = json.loads(read_members(clone.root / MAR)[META_FILE]) | {"data_digest": "0" * 16}
    write_members(clone.root / MAR, {META_FILE: json.dumps(meta).encode()})


def read_members(mar: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(mar) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(mar: Path, changed: dict[str, bytes]) -> None:
    members = read_members(mar) | changed
    with zipfile.ZipFile(mar, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def half_an_archive(clone: Clone) -> None:
    content = (clone.root / MAR).read_bytes()
    (clone.root / MAR).write_bytes(content[: len(content) // 2])


BREAKS: dict[str, tuple[str, Callable[[Clone], Any]]] = {
    "altered weights": ("weights", stored(WEIGHTS_FILE)),
    "another evaluation": ("evaluation", tag("evaluation")),
    "altered gate report": ("promotion", stored("gate/*.json")),
    "run of other weights": ("run", disowned),
    "archive of other weights": ("archive", other_archive),
    "archive of other data": ("archive", archive_of_other_data),
    "half an archive": ("archive", half_an_archive),
    "endpoint of other weights": ("served", lambda clone: clone.deploy(Predictor(clone.other))),
    "endpoint of other data": ("served", lambda clone: clone.deploy(header=Origin("1", "0" * 16))),
    "endpoint of another version": ("served", lambda clone: clone.deploy(header=Origin("2", DATA))),
    "answer of other data": ("served", lambda clone: clone.deploy(body=Origin("1", "0" * 16))),
    "endpoint that refuses": ("served", lambda clone: clone.deploy(Fixed(error={"code": "overloaded", "message": ""}))),
    "endpoint of another kind": ("served", lambda clone: clone.deploy(Fixed(faces=[{"box": "none"}], error=None))),
    "another commit": ("code", another_commit),
    "another configuration": ("config", tag("config_digest")),
    "another constraints.txt": ("lock", tag("lock_digest")),
    "another data.dvc": ("dvc", tag("dvc_md5")),
    "stage of other weights": ("dvc.lock", lambda clone: write_lock(clone.root, clone.other)),
    "stage of other parameters": (
        "dvc.lock",
        lambda clone: write_lock(clone.root, clone.root / "artifacts/train", lr=0.5),
    ),
    "lost dvc.lock": ("dvc.lock", lambda clone: (clone.root / "dvc.lock").unlink()),
    "altered tag of the stage": ("dvc.lock", tag("dvc_lock")),
    "altered tag of the data": ("data", tag("data_digest")),
    "another manifest": ("manifest", other_manifest),
    "lost manifest": ("manifest", lambda clone: (clone.root / "artifacts/manifest.valid.parquet").unlink()),
}


@pytest.mark.parametrize("name", BREAKS)
def test_verify_fails_and_names_the_one_hop_that_is_broken(rmtl: Command, clone: Clone, name: str) -> None:
    """T36: `lineage` shows it and ends well all the same."""
    hop, change = BREAKS[name]
    change(clone)
    result = rmtl("verify", cwd=clone.root)
    assert result.returncode == RegistryError.exit_code
    assert "lineage broken at 1 of" in result.stderr
    assert broken(result) == [hop]
    shown = rmtl("lineage", "--json", cwd=clone.root)
    assert shown.returncode == 0
    assert [item["hop"] for item in json.loads(shown.stdout) if item["problem"]] == [hop]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"model_version": "1", "data_digest": "0" * 16}, f"models:/{NAME}/1 was registered with data {DATA}"),
        ({"model_version": "9", "data_digest": DATA}, "no version of residual-mtl"),
        ({"model_version": "a/b", "data_digest": DATA}, "no version of residual-mtl"),
        ({"model_version": "0123456789ab", "data_digest": DATA}, "no version of residual-mtl"),
        ({}, "no version of residual-mtl"),
    ],
    ids=["other data", "another version", "malformed version", "other weights", "no origin"],
)
def test_an_answer_that_no_version_gave_breaks_the_first_hop(rmtl: Command, clone: Clone, line: Any, told: str) -> None:
    """T36."""
    (clone.root / ANSWERS).write_text(json.dumps({"image": "a.png", "faces": [], "error": None, **line}) + "\n")
    result = rmtl("verify", ANSWERS, cwd=clone.root)
    assert result.returncode == RegistryError.exit_code
    assert broken(result) == ["answer"]
    assert told in result.stderr


def test_an_endpoint_of_an_unknown_version_breaks_the_first_hop(rmtl: Command, clone: Clone) -> None:
    """T36."""
    result = rmtl("verify", clone.deploy(header=Origin("9", DATA)), cwd=clone.root)
    assert result.returncode == RegistryError.exit_code
    assert broken(result) == ["answer"]


def test_answers_of_several_versions_are_followed_one_by_one(rmtl: Command, clone: Clone) -> None:
    head = read_json(clone.root / "artifacts/train/meta.json")["weights_digest"][:12]
    of_endpoint = [{"faces": [], "error": None, "model_version": "1", "data_digest": DATA}] * 2
    unread = {"faces": [], "error": {"code": "not_an_image", "message": ""}, "model_version": None}
    of_weights = {"faces": [], "error": None, "model_version": head, "data_digest": DATA}
    lines = [{"predictions": of_endpoint}, unread, of_weights]
    (clone.root / ANSWERS).write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    result = rmtl("verify", ANSWERS, "--json", cwd=clone.root)
    assert result.returncode == 0, result.stderr
    assert [hop["value"] for hop in json.loads(result.stdout) if hop["hop"] == "answer"] == [
        f"version 1, data {DATA}",
        f"version {head}, data {DATA}",
    ]


@pytest.mark.parametrize("content", [None, "{", "[]", "3", '{"predictions": 3}', '{"image": "a.png"}', b"\xff\xfe"])
def test_what_holds_no_answers_ends_with_exit_code_2(rmtl: Command, folder: Path, content: Any) -> None:
    if content is not None:
        (folder / ANSWERS).write_bytes(content if isinstance(content, bytes) else content.encode())
    result = rmtl("verify", ANSWERS, cwd=folder)
    assert result.returncode == ConfigError.exit_code
    assert f"error: {ANSWERS}" in result.stderr


def test_a_version_that_is_not_there_ends_with_exit_code_1(rmtl: Command, folder: Path) -> None:
    result = rmtl("verify", f"models:/{NAME}/9", cwd=folder)
    assert result.returncode == RegistryError.exit_code
    assert "has no such version" in result.stderr


def test_the_version_is_asked_for_until_a_canary_beside_it_lets_it_answer() -> None:
    class Client:
        url = "http://127.0.0.1:9"

        def __init__(self) -> None:
            self.versions = iter(["2", "2", "1", "2"])

        def ask(self, *_: object) -> tuple[dict[str, Any], Origin]:
            return {}, Origin(next(self.versions), DATA)

    assert ask(Client(), "1").origin.version == "1"
    assert ask(Client()).origin.version == "2"
