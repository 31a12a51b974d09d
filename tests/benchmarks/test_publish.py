"""Published weights: rounded in a way that loads back exactly, within their size, with a card about themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import imagenet_trunk
from benchmarks import publish as step
from benchmarks.publish import CARD, publish, read_reports
from model.config import Config
from model.errors import CheckpointError, ConfigError, GateError
from model.net.inference import FaceNet
from model.net.multitask import build_net
from model.schema import EXPRESSIONS, Measure, to_json
from model.storage import digest_file, write_json
from model.weights import Meta, describe, load_meta, load_weights, save_weights
from tests.benchmarks.conftest import RECIPE, Project
from tests.command import contents
from tests.conventions import rolled


@pytest.fixture
def evaluation() -> dict[str, Any]:
    """A report about nothing yet, with a value over all faces, of a class, and of a slice."""
    rows = [
        Measure("test", "landmarks", "nme", "all", 4.126, 3.9, 4.3, 337, normaliser="inter_ocular"),
        Measure("test", "landmarks", "nme", "pose=|yaw|>30", 6.5, None, None, 55, normaliser="inter_ocular"),
        *(
            Measure("test", "expression", name, "class=fear", 40.0, 30.0, 50.0, 9)
            for name in ("precision", "recall", "f1")
        ),
        Measure("test", "expression", "ece_calibrated", "all", 2.5, None, None, 3517),
    ]
    return {"weights_digest": "", "recipe": RECIPE, "summary": {}, "measures": [to_json(row) for row in rows]}


@pytest.fixture
def inside(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(project.root)
    return project


@pytest.mark.parametrize("kind", ["bf16", "fp16"])
def test_rounded_weights_load_back_exactly(kind: str, project: Project, tmp_path: Path) -> None:
    written = publish(project.weights, tmp_path / "out", kind=kind, reports={})
    stored, meta = load_weights(tmp_path / "out")
    assert meta == written == load_meta(project.weights).model_copy(update={"weights_digest": meta.weights_digest})
    assert meta.weights_digest == digest_file(tmp_path / "out/weights.safetensors")
    loaded = FaceNet.load(tmp_path / "out").net.state_dict()
    assert {item.dtype for item in loaded.values() if item.is_floating_point()} == {torch.float32}
    assert all(torch.equal(loaded[name], item.to(loaded[name].dtype)) for name, item in stored.items())


def test_only_factors_are_rounded_and_answers_stay_close(project: Project, tmp_path: Path) -> None:
    publish(project.weights, tmp_path / "out", kind="bf16", reports={})
    before, after = (load_weights(folder)[0] for folder in (project.weights, tmp_path / "out"))
    small = [name for name, item in after.items() if item.dtype != torch.bfloat16]
    assert all(torch.equal(before[name], after[name]) for name in small)
    assert sum(before[name].numel() for name in small) < 0.1 * sum(item.numel() for item in before.values())
    crops = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    first, second = (FaceNet.load(folder).answer(crops) for folder in (project.weights, tmp_path / "out"))
    assert np.abs(first.probabilities_BE - second.probabilities_BE).max() < 0.01


def test_publishing_twice_gives_the_same_bytes(project: Project, tmp_path: Path) -> None:
    for name in ("first", "second"):
        publish(project.weights, tmp_path / name, kind="bf16", reports={})
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_a_number_beyond_the_range_is_refused(project: Project, tmp_path: Path) -> None:
    state, meta = load_weights(project.weights)
    name = next(name for name, item in state.items() if item.ndim == 4)
    save_weights(tmp_path / "large", state | {name: state[name] + 1e6}, meta)
    with pytest.raises(CheckpointError, match="not finite as fp16"):
        publish(tmp_path / "large", tmp_path / "out", kind="fp16", reports={})
    assert not (tmp_path / "out").exists()


def test_too_large_a_folder_is_refused_and_the_former_one_stays(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(project.weights, tmp_path / "out", kind="bf16", reports={})
    before = contents(tmp_path / "out")
    monkeypatch.setattr(step, "LARGEST", sum(map(len, before.values())))
    with pytest.raises(GateError, match="may be published"):
        publish(project.weights, tmp_path / "out", kind="fp32", reports={})
    assert contents(tmp_path / "out") == before


def test_a_report_about_other_weights_is_refused(inside: Project, tmp_path: Path, evaluation: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="publish without reports first"):
        publish(
            inside.weights,
            tmp_path / "out",
            kind="bf16",
            reports={"evaluation": evaluation | {"weights_digest": "a" * 64}},
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kinds", "problem"), [(["speed"], "no evaluation among them"), ([None, None], "a second report of evaluation")]
)
def test_reports_are_one_of_each_kind_with_an_evaluation(kinds: list, problem: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(len(kinds))]
    for path, kind in zip(paths, kinds, strict=True):
        write_json(path, {"kind": kind} if kind else {})
    with pytest.raises(ConfigError, match=problem):
        read_reports(paths)


@pytest.mark.parametrize("restricted", [True, False])
def test_the_card_tells_what_the_weights_are(
    restricted: bool, inside: Project, config: Config, tmp_path: Path, evaluation: dict[str, Any]
) -> None:
    trained = restricted_weights(config, tmp_path / "trained") if restricted else inside.weights
    digest = publish(trained, tmp_path / "out", kind="bf16", reports={}).weights_digest
    publish(trained, tmp_path / "out", kind="bf16", reports={"evaluation": evaluation | {"weights_digest": digest}})
    card = (tmp_path / "out" / CARD).read_text()
    assert "$" not in card
    assert digest in card and load_meta(trained).weights_digest in card
    assert ("Non-commercial research only" in card) == restricted
    assert "apparent expression" in card and "Not for emotion inference at work or in education" in card
    assert "| 68 points: NME %, inter-ocular | 4.13 (3.90-4.30) | 337 |" in card
    assert "| fear | 40.0 (30.0-50.0) | 40.0 (30.0-50.0) | 40.0 (30.0-50.0) | 9 |" in card
    assert r"| pose=\|yaw\|>30 | 6.50 | - | - | 55 |" in card
    assert "| w300 | helen/trainset | ibug |" in card
    assert all(name in card for name in EXPRESSIONS)


@pytest.mark.parametrize(("began", "told"), [(imagenet_trunk.DIGEST, True), ("0" * 64, False)])
def test_the_card_tells_of_a_start_from_imagenet(
    began: str, told: bool, inside: Project, tmp_path: Path, evaluation: dict[str, Any]
) -> None:
    state, meta = load_weights(inside.weights)
    save_weights(tmp_path / "trained", state, meta.model_copy(update={"start_digest": began}))
    digest = publish(tmp_path / "trained", tmp_path / "out", kind="bf16", reports={}).weights_digest
    reports = {"evaluation": evaluation | {"weights_digest": digest}}
    publish(tmp_path / "trained", tmp_path / "out", kind="bf16", reports=reports)
    card = (tmp_path / "out" / CARD).read_text()
    assert f"Training began from weights of digest `{began[:12]}`" in card
    assert (imagenet_trunk.ORIGIN in card) == told


def test_the_card_tells_the_conventions(inside: Project, tmp_path: Path, evaluation: dict[str, Any]) -> None:
    state, meta = load_weights(inside.weights)
    for name, held in (("none", {}), ("some", {"crowd": rolled(1, speaks="votes")})):
        save_weights(tmp_path / "trained", state, meta.model_copy(update={"conventions": held}))
        digest = publish(tmp_path / "trained", tmp_path / name, kind="bf16", reports={}).weights_digest
        assert load_meta(tmp_path / name).conventions == held
        reports = {"evaluation": evaluation | {"weights_digest": digest}}
        publish(tmp_path / "trained", tmp_path / name, kind="bf16", reports=reports)
    assert "`crowd` (fitted to votes)" in (tmp_path / "some" / CARD).read_text()
    assert "## Conventions" not in (tmp_path / "none" / CARD).read_text()


def test_the_card_names_every_training_before_the_last(
    inside: Project, tmp_path: Path, evaluation: dict[str, Any]
) -> None:
    state, meta = load_weights(inside.weights)
    first = save_weights(tmp_path / "first", state, meta.model_copy(update={"start_digest": imagenet_trunk.DIGEST}))
    began = {"start_digest": first.weights_digest, "config": {"train": {"start_from": str(tmp_path / "first")}}}
    save_weights(tmp_path / "last", state, meta.model_copy(update=began))
    digest = publish(tmp_path / "last", tmp_path / "out", kind="bf16", reports={}).weights_digest
    reports = {"evaluation": evaluation | {"weights_digest": digest}}
    publish(tmp_path / "last", tmp_path / "out", kind="bf16", reports=reports)
    card = (tmp_path / "out" / CARD).read_text()
    stages = [card.index(first.weights_digest[:12]), card.index(imagenet_trunk.DIGEST[:12])]
    assert stages == sorted(stages) and imagenet_trunk.ORIGIN in card
    assert f"{first.config['train']['epochs']} epochs at {first.net.input_size} pixels" in card

    (tmp_path / "first/weights.safetensors").write_bytes(b"another training")
    publish(tmp_path / "last", tmp_path / "out", kind="bf16", reports=reports)
    assert imagenet_trunk.ORIGIN not in (tmp_path / "out" / CARD).read_text()


def restricted_weights(config: Config, folder: Path) -> Path:
    points = tuple((float(x), 0.5) for x in np.linspace(0.2, 0.8, 68))
    net = build_net(config.train.net, None, mean_shape_K2=np.asarray(points), seed=1)
    meta: Meta = describe(config.run, mean_shape=points, data_digest="d" * 16, restricted=True)
    save_weights(folder, net.state_dict(), meta)
    return folder
