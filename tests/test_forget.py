"""`rmtl data forget`: who holds a face, and what changes."""

import errno
import html
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from model.cli.recipe import write_values
from model.cli.steps import evaluate, index, package, register, shard
from model.config import Config, load_config
from model.data.forget import _reports, trace
from model.data.manifest import data_digest, read_manifest
from model.storage import digest_file, write_json
from model.weights import load_weights, save_weights
from tests.command import Command, contents
from tests.data.layouts import make_generic, write
from tests.untrained import make_weights

FACE = "data/made/train/003.webp"
TESTED = "data/made/test/003.webp"
STRANGER = "f" * 64


@pytest.fixture(scope="module")
def template(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project under Git and DVC with two data versions; the second has one face less."""
    project = tmp_path_factory.mktemp("forget") / "project"
    source = make_generic(project / "data")
    (project / "params.yaml").write_text((root / "params.yaml").read_text())
    write_values(project / "params.yaml", {"index.sources": [source.model_dump(mode="json")]})
    run(project, "git", "init", "--quiet")
    repository = Repo.init(str(project))
    (project / ".dvc/config").write_text("[core]\n    remote = near\n['remote \"near\"']\n    url = ../near\n")
    repository.add(str(project / "data"))
    shutil.copytree(project / ".dvc/cache/files", project / "near/files")
    commit(project, "first")
    (project / "data/made/test/013.webp").unlink()
    labels = project / "data/made/labels.jsonl"
    labels.write_text("".join(line for line in labels.open() if "test/013.webp" not in line))
    repository.add(str(project / "data"))
    commit(project, "second")
    repository.close()
    return project


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return shutil.copytree(template, tmp_path / "project")


def run(project: Path, *command: str) -> str:
    return subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout.strip()


def commit(project: Path, text: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    run(project, "git", *identity, "add", "data.dvc", "params.yaml", ".dvc/config")
    run(project, "git", *identity, "commit", "--quiet", "--message", text)


def describe(folder: Path, data: str, weights: str, start: str = "") -> None:
    """A meta.json, as far as it tells where weights come from."""
    digests = {"data_digest": data, "weights_digest": weights, "start_digest": start}
    write_json(folder / "meta.json", {"mean_shape": [], **digests})


def forget(rmtl: Command, project: Path, *digests: str) -> dict[str, Any]:
    result = rmtl("data", "forget", *digests, "--json", cwd=project)
    assert result.returncode == 0, result.stderr
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def held(told: dict[str, Any]) -> dict[str, set[str]]:
    """Names by kind."""
    kinds: dict[str, set[str]] = {}
    for item in told["held_by"]:
        kinds.setdefault(item["kind"], set()).update([item["name"], *item["copies"]])
    return kinds


def test_everything_that_holds_a_face_is_named_and_the_next_index_leaves_it_out(rmtl: Command, project: Path) -> None:
    digest, object_ = digest_file(project / FACE), run(project, "md5sum", FACE).split()[0]
    assert rmtl("index", cwd=project).returncode == 0
    (project / "artifacts/manifest.valid.parquet").hardlink_to(project / "artifacts/manifest.parquet")
    assert rmtl("shard", cwd=project).returncode == 0
    data = data_digest(read_manifest(project / "artifacts/manifest.valid.parquet"))
    describe(project / "artifacts/train", data, "a" * 64)
    (project / "reports").mkdir()
    (project / "reports/drawn.html").write_text("<img alt='made/train/003.webp'>")
    told = forget(rmtl, project, digest)
    assert told["faces"] == {digest: ["made/train/003.webp"]}
    assert told["same_person_or_photo"] == ["made/train/002.webp"]
    assert told["not_looked_into"] == []
    kinds = held(told)
    assert kinds["picture"] == {FACE, f"cache:{object_}", f"near:{object_}", "artifacts/shards/train-000000.tar"}
    first, second = run(project, "git", "log", "--format=%h", "--reverse").split()
    versions = {name.partition(" ")[2] for name in kinds["data version"]}
    assert versions == {f"(workspace, {second})", f"({first})"}
    assert kinds["manifest"] == {"artifacts/manifest.parquet", "artifacts/manifest.valid.parquet"}
    assert kinds["shard"] == {"artifacts/shards/train.parquet"}
    assert kinds["weights"] == {"artifacts/train/meta.json"}
    assert kinds["report"] == {"reports/drawn.html"}
    plan = " ".join(told["plan"])
    assert f"out of {FACE}; then dvc add data" in plan
    assert "dvc gc --workspace  #" in plan
    assert "dvc gc --workspace --cloud --remote near  #" in plan
    assert load_config(project / "params.yaml").index.exclude == (digest,)
    assert rmtl("index", cwd=project).returncode == 0
    names = [record.record_id for record in read_manifest(project / "artifacts/manifest.parquet")]
    assert len(names) == 40
    assert "made/train/003.webp" not in names
    assert forget(rmtl, project, digest)["excluded"] == []


@pytest.fixture(scope="module")
def finished(template: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after every step, with untrained weights, a checkpoint and a registry."""
    project = shutil.copytree(template, tmp_path_factory.mktemp("finished") / "project")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_DEFAULT_ARTIFACT_ROOT"):
            patch.delenv(name, raising=False)
        patch.chdir(project)
        index()
        Path("artifacts/manifest.valid.parquet").hardlink_to("artifacts/manifest.parquet")
        shard()
        make_weights(config, Path("artifacts/train"), seed=0)
        state, meta = load_weights(Path("artifacts/train"))
        data = data_digest(read_manifest(Path("artifacts/manifest.parquet")))
        save_weights(Path("artifacts/train"), state, meta.model_copy(update={"data_digest": data}))
        write_json(Path("artifacts/train/last/state.json"), {"origin": {"config_digest": "", "data_digest": data}})
        evaluate(overrides=["evaluate.bootstrap=10", "evaluate.drawn=4"])
        register()
        package()
    return project


def test_what_was_made_of_a_face_is_named_up_to_the_registered_version(rmtl: Command, finished: Path) -> None:
    """Prediction file, shards, weights, checkpoint, archive, evaluation, and the version of the registry."""
    digest = digest_file(finished / TESTED)
    told = forget(rmtl, finished, digest)
    assert told["not_looked_into"] == []
    kinds = held(told)
    assert kinds["table"] == {"artifacts/predictions.parquet"}
    assert kinds["shard"] == {"artifacts/shards/test.parquet"}
    assert "artifacts/shards/test-000000.tar" in kinds["picture"]
    assert kinds["weights"] == {"artifacts/train/meta.json"}
    assert kinds["checkpoint"] == {"artifacts/train/last/state.json"}
    assert kinds["archive"] == {"artifacts/residual-mtl.mar"}
    assert kinds["evaluation"] == {"reports/evaluation.json"}
    assert kinds["model version"] == {"models:/residual-mtl/1"}
    how = {item["name"]: item["how"] for item in told["held_by"]}
    assert how["models:/residual-mtl/1"] == how["artifacts/residual-mtl.mar"] == "measured on"
    trained = {item["name"]: item["how"] for item in forget(rmtl, finished, digest_file(finished / FACE))["held_by"]}
    assert not {"artifacts/predictions.parquet", "reports/evaluation.json"} & trained.keys()
    assert trained["models:/residual-mtl/1"] == trained["artifacts/residual-mtl.mar"] == "trained on"
    plan = [step.partition("  #")[0] for step in told["plan"]]
    assert (
        plan.index("dvc repro")
        < plan.index("mlflow gc --backend-store-uri ...")
        < plan.index(f"rmtl data forget {digest}")
    )
    assert plan.index(f"rmtl data forget {digest}") < plan.index("dvc gc --workspace")
    (models,) = [step for step in plan if step.startswith("replace or delete")]
    for name in ("artifacts/train/last/state.json", "artifacts/residual-mtl.mar", "models:/residual-mtl/1"):
        assert name in models


def test_a_face_that_no_manifest_names_any_more_is_still_found_in_predictions_and_reports(
    rmtl: Command, finished: Path, tmp_path: Path
) -> None:
    """So that a second look after `rmtl index` does not call them clean; lines of `rmtl predict` name paths."""
    project = tmp_path / "project"
    shutil.copytree(finished, project)
    digest = digest_file(project / TESTED)
    forget(rmtl, project, digest)
    assert rmtl("index", cwd=project).returncode == 0
    (project / "artifacts/manifest.valid.parquet").unlink()
    (project / "artifacts/answers.jsonl").write_text(json.dumps({"image": TESTED, "faces": [], "error": None}) + "\n")
    told = forget(rmtl, project, digest)
    assert told["faces"] == {digest: []}
    kinds = held(told)
    assert kinds["table"] == {"artifacts/predictions.parquet"}
    assert kinds["report"] == {"artifacts/answers.jsonl"}
    assert {item["name"] for item in told["not_looked_into"]} == {
        *("weights artifacts/train/meta.json", "checkpoint artifacts/train/last/state.json"),
        *("archive artifacts/residual-mtl.mar", "evaluation reports/evaluation.json"),
        "model version models:/residual-mtl/1",
    }


def test_every_data_version_of_the_history_that_has_the_face_is_named(rmtl: Command, project: Path) -> None:
    """Under another name, in a pack, on another branch, and by several commits; not those without it."""
    first, second = run(project, "git", "log", "--format=%h", "--reverse").split()
    digest, content = digest_file(project / FACE), (project / FACE).read_bytes()
    with Repo(str(project)) as repository:
        run(project, "git", "checkout", "--quiet", "-b", "packed")
        (project / FACE).unlink()
        (project / "data/made/near.webp").write_bytes(content + b"0")
        with tarfile.open(project / "data/made/pack.tar", "w") as pack:
            entry = tarfile.TarInfo("inside/1.webp")
            entry.size = len(content)
            pack.addfile(entry, io.BytesIO(content))
        repository.add(str(project / "data"))
        commit(project, "packed")
        packed = run(project, "git", "rev-parse", "--short", "HEAD")
        (project / "data/made/pack.tar").unlink()
        repository.add(str(project / "data"))
        commit(project, "without")
        run(project, "git", "checkout", "--quiet", "-b", "renamed", first)
        (project / "data/made/renamed.webp").write_bytes(content)
        repository.add(str(project / "data"))
        commit(project, "renamed")
        renamed = run(project, "git", "rev-parse", "--short", "HEAD")
        run(project, "git", "checkout", "--quiet", second)
        run(project, "git", "checkout", "--quiet", "packed", "--", "data.dvc")
    told = forget(rmtl, project, digest)
    found = {item["name"].partition(" ")[2]: item["how"] for item in told["held_by"] if item["kind"] == "data version"}
    assert found == {
        f"({first})": "in made/train/003.webp",
        f"({second})": "in made/train/003.webp",
        f"({packed})": "in made/pack.tar",
        f"({renamed})": "in made/renamed.webp",
    }
    packs = {item["how"] for item in told["held_by"] if item["kind"] == "picture" and "pack" not in item["name"]}
    assert "in it inside/1.webp" in packs
    (versions,) = [step for step in told["plan"] if step.startswith("dvc gc leaves no other data version")]
    assert all(commit_ in versions for commit_ in (first, second, packed, renamed))


def test_a_face_of_a_former_version_is_known_by_its_object(rmtl: Command, project: Path) -> None:
    """And what is not here is said to be unseen, not sound."""
    lost = project / "near/files/md5" / digest_path(project, "made/test/012.webp")
    digest = former_face(project)
    told = forget(rmtl, project, digest)
    assert told["faces"] == {digest: []}
    assert [item["how"] for item in told["held_by"] if item["kind"] == "data version"] == ["in made/test/013.webp"]
    for folder in (project / "near", project / ".dvc/cache"):
        (folder / lost.relative_to(project / "near")).unlink()
    (project / "data/made/test/012.webp").unlink()
    (unseen,) = [item for item in forget(rmtl, project, digest)["not_looked_into"] if "workspace" not in item["name"]]
    assert "1 of its 43 files are not here, first made/test/012.webp" in unseen["why"]


def test_a_digest_that_nothing_knows_ends_with_exit_code_3_and_changes_nothing(rmtl: Command, project: Path) -> None:
    before = contents(project)
    result = rmtl("data", "forget", digest_file(project / FACE), STRANGER, cwd=project)
    assert result.returncode == 3
    assert f"error: {STRANGER}: no picture, pack, manifest or data version here holds it" in result.stderr
    assert rmtl("data", "forget", "0123", cwd=project).returncode == 2
    after = contents(project)
    assert {name for name in before | after if before.get(name) != after.get(name)} <= {".dvc/tmp/lock"}


def test_weights_that_began_from_such_weights_hold_the_face_too(tmp_path: Path, rmtl: Command, root: Path) -> None:
    """Of weights whose data nobody describes here, or that began from unknown ones, nothing is claimed."""
    source = make_generic(tmp_path / "data")
    with tarfile.open(tmp_path / "data/pack.tar", "w") as pack:
        pack.add(tmp_path / FACE, "000.webp")
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    write_values(tmp_path / "params.yaml", {"index.sources": [source.model_dump(mode="json")]})
    assert rmtl("index", cwd=tmp_path).returncode == 0
    data = data_digest(read_manifest(tmp_path / "artifacts/manifest.parquet"))
    describe(tmp_path / "artifacts/first", data, "a" * 64)
    describe(tmp_path / "artifacts/second", "c" * 16, "b" * 64, start="a" * 64)
    describe(tmp_path / "artifacts/third", data, "d" * 64, start="b" * 64)
    describe(tmp_path / "weights", "d" * 16, "e" * 64, start="f" * 64)
    traces = trace(
        [digest_file(tmp_path / FACE)],
        workspace=tmp_path,
        folders=[tmp_path / name for name in ("data", "artifacts", "weights")],
        reports=[tmp_path / "reports"],
    )
    weights = {item.name: item.how for item in traces.holdings if item.kind == "weights"}
    assert weights == {
        "artifacts/first/meta.json": "trained on",
        "artifacts/second/meta.json": f"began from {'a' * 12}, trained on",
        "artifacts/third/meta.json": f"trained on; began from {'a' * 12}, trained on",
    }
    assert {item.name for item in traces.holdings if item.kind == "picture"} == {FACE, "data/pack.tar"}
    assert sorted(traces.unseen) == [
        ("weights artifacts/second/meta.json", f"no manifest here describes its data {'c' * 16}"),
        ("weights weights/meta.json", f"it began from weights {'f' * 12}, not known here"),
        ("weights weights/meta.json", f"no manifest here describes its data {'d' * 16}"),
    ]


def test_linked_folders_are_entered_and_what_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    """A set on another disk; a link back, and one to a folder that is there anyway, add nothing."""
    write(tmp_path / "disk/faces/1.png", "a face")
    write(tmp_path / "work/data/own/2.png", "a face")
    with tarfile.open(tmp_path / "work/data/own/faces.tar.gz", "w:gz"):
        pass
    data = tmp_path / "work/data"
    for name, target in {"far": tmp_path / "disk", "again": data / "own", "own/back": data}.items():
        (data / name).symlink_to(target)
    digest = digest_file(data / "own/2.png")
    traces = trace([digest], workspace=tmp_path / "work", folders=[data, data / "none"], reports=[data])
    (picture,) = traces.holdings
    assert {picture.name, *picture.copies} == {"data/own/2.png", "data/far/faces/1.png"}
    assert [item.name for item in traces.unseen] == ["data/own/faces.tar.gz"]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "data/locked/1.png", "a face")
    write(tmp_path / "data/2.png", "a face")
    listed = os.scandir

    def scandir(folder: Any) -> Any:
        if str(folder).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    data = tmp_path / "data"
    traces = trace([digest_file(data / "2.png")], workspace=tmp_path, folders=[data], reports=[data])
    assert [item.name for item in traces.holdings] == ["data/2.png"]
    assert traces.unseen == [(str(data / "locked"), "the folder cannot be read: Permission denied")]


def former_face(project: Path) -> str:
    """The face that only the first version has."""
    return digest_file(project / ".dvc/cache/files/md5" / digest_path(project, "made/test/013.webp"))


def digest_path(project: Path, name: str) -> Path:
    """Place of a file of the first version among the objects."""
    for listing in (project / ".dvc/cache/files/md5").glob("*/*.dir"):
        files = {item["relpath"]: item["md5"] for item in json.loads(listing.read_text())}
        if name in files and len(files) == 43:
            return Path(files[name][:2]) / files[name][2:]
    raise AssertionError(f"{name} is in no version of 43 files")


def test_reports_spell_names_in_their_own_ways(tmp_path: Path) -> None:
    """JSON escapes letters, HTML escapes signs."""
    name = "faces/Jürgen & co.jpg"
    (tmp_path / "validation.json").write_text(json.dumps({"first": name}))
    (tmp_path / "page.html").write_text(f"<td>{html.escape(name)}</td>")
    (tmp_path / "list.csv").write_text(f"{name},1\n")
    (tmp_path / "other.json").write_text(json.dumps({"first": "faces/Jürgen & co.jpg2"}))
    found = _reports(tmp_path.iterdir(), tmp_path, {name: "face"})
    assert sorted(holding.name for holding in found) == ["list.csv", "page.html", "validation.json"]
