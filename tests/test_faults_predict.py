"""Wrong weights and pictures through the command line: exit code, message, and nothing half-written."""

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from model.config import Config
from model.serving.archive import package
from model.serving.golden import golden_pictures
from model.storage import read_json, write_json
from model.weights import META_FILE, WEIGHTS_FILE
from tests.command import Command, contents
from tests.untrained import make_weights


class Canary:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.fixture(scope="module")
def weights(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network."""
    return make_weights(config, tmp_path_factory.mktemp("weights"), seed=0)


@pytest.fixture
def trained(workspace: Path, weights: Path) -> Path:
    """A workspace after training, with pictures of a face, of text, and of half a file."""
    shutil.copytree(weights, workspace / "artifacts/train")
    picture = golden_pictures(1)[0][0]
    (workspace / "good.png").write_bytes(picture)
    (workspace / "text.jpg").write_text("Not a picture at all.")
    (workspace / "cut.png").write_bytes(picture[: len(picture) // 2])
    return workspace


def change_meta(folder: Path, **values: object) -> None:
    write_json(folder / META_FILE, read_json(folder / META_FILE) | values)


def change_weights(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)


def wider(folder: Path) -> None:
    change_meta(folder, net=read_json(folder / META_FILE)["net"] | {"width": 2.0})


def reordered(folder: Path) -> None:
    change_meta(folder, expressions=sorted(read_json(folder / META_FILE)["expressions"]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (wider, "shape"),
        (reordered, "meta.json: classes ('anger', 'disgust'"),
        (change_weights, "the file was altered or swapped"),
        (lambda folder: (folder / WEIGHTS_FILE).unlink(), "weights.safetensors: cannot be read"),
        (lambda folder: (folder / META_FILE).write_text("{"), "meta.json: cannot be read as JSON"),
    ],
    ids=["another net", "another class order", "altered", "no tensors", "broken meta"],
)
@pytest.mark.parametrize("command", [("predict", "good.png"), ("package",)], ids=["predict", "package"])
def test_wrong_weights_end_with_exit_code_1(rmtl: Command, trained: Path, command, change, told: str) -> None:
    """T33: the file is named; no archive and no answer is written."""
    change(trained / "artifacts/train")
    before = contents(trained)
    result = rmtl(*command, cwd=trained)
    assert result.returncode == 1
    assert told in result.stderr
    assert "artifacts/train" in result.stderr
    assert contents(trained) == before


def test_a_pickle_given_as_weights_never_runs(rmtl: Command, trained: Path) -> None:
    """T33: under its own name, as a folder's tensors, and as torch writes it."""
    evil = pickle.dumps(Canary(trained / "canary"))
    (trained / "evil.pth").write_bytes(evil)
    torch.save({"state": Canary(trained / "canary")}, trained / "torch.pt")
    (trained / "artifacts/train" / WEIGHTS_FILE).write_bytes(evil)
    for given in ("evil.pth", "torch.pt", "artifacts/train"):
        result = rmtl("predict", "good.png", "--weights", given, cwd=trained)
        assert result.returncode == 1
        assert given in result.stderr
    assert not (trained / "canary").exists()


def test_a_pickle_in_an_archive_never_runs(rmtl: Command, trained: Path, config: Config) -> None:
    """T33: in place of the tensors, and beside them."""
    made = package(config.package, weights=trained / "artifacts/train", out=trained / "made")
    for number, name in enumerate((WEIGHTS_FILE, "extra.pkl")):
        evil = io.BytesIO()
        with zipfile.ZipFile(made) as source, zipfile.ZipFile(evil, "w") as target:
            members = {item: source.read(item) for item in source.namelist()}
            for item, content in (members | {name: pickle.dumps(Canary(trained / "canary"))}).items():
                target.writestr(item, content)
        (trained / f"evil{number}.mar").write_bytes(evil.getvalue())
        result = rmtl("predict", "good.png", "--weights", f"evil{number}.mar", cwd=trained)
        assert result.returncode == 1
        assert f"evil{number}.mar: " in result.stderr
    assert not (trained / "canary").exists()


def test_unreadable_pictures_alone_end_predict_with_exit_code_3(rmtl: Command, trained: Path) -> None:
    """T38: each line says why."""
    result = rmtl("predict", "text.jpg", "cut.png", "gone.png", cwd=trained)
    assert result.returncode == 3
    codes = [json.loads(line)["error"]["code"] for line in result.stdout.splitlines()]
    assert codes == ["not_an_image", "truncated_image", "not_an_image"]
    assert "none of 3 pictures could be read" in result.stderr


def test_one_bad_picture_among_good_ones_is_an_error_in_its_line(rmtl: Command, trained: Path) -> None:
    """T38: order kept, exactly as many answers as cases; a box that is none is the error of its line too."""
    box = [float(value) for value in golden_pictures(1)[0][1][0]]
    # A name may hold what ends a line for some.
    (trained / "go\u2028od.png").write_bytes((trained / "good.png").read_bytes())
    cases = [("good.png", box), ("text.jpg", None), ("good.png", [5, 5, 1, 1]), ("go\u2028od.png", box)]
    lines = [json.dumps({"image": image, "box": given}, ensure_ascii=False) for image, given in cases]
    (trained / "cases.jsonl").write_text("\n".join(lines) + "\n")
    result = rmtl("predict", "--cases", "cases.jsonl", "--out", "answers.jsonl", cwd=trained)
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line) for line in (trained / "answers.jsonl").read_text().splitlines()]
    assert [answer["image"] for answer in answers] == [image for image, _ in cases]
    assert [answer["error"] and answer["error"]["code"] for answer in answers] == [
        *(None, "not_an_image", "bad_request", None)
    ]
    assert answers[0]["faces"] == answers[3]["faces"]


@pytest.mark.parametrize("line", ["{", "[]", '"good.png"', '{"picture": "good.png"}', "null"])
def test_a_malformed_case_leaves_earlier_answers_alone(rmtl: Command, trained: Path, line: str) -> None:
    (trained / "answers.jsonl").write_text("earlier\n")
    (trained / "cases.jsonl").write_text('{"image": "good.png", "box": null}\n\n' + line + "\n")
    result = rmtl("predict", "--cases", "cases.jsonl", "--out", "answers.jsonl", cwd=trained)
    assert result.returncode == 2
    assert "cases.jsonl:3: need" in result.stderr
    assert (trained / "answers.jsonl").read_text() == "earlier\n"


def test_cases_that_cannot_be_read_are_named(rmtl: Command, trained: Path) -> None:
    (trained / "picture.jsonl").write_bytes((trained / "good.png").read_bytes())
    for name in ("gone.jsonl", "picture.jsonl"):
        result = rmtl("predict", "--cases", name, cwd=trained)
        assert result.returncode == 2
        assert name in result.stderr
