"""The chain from raw benchmark to served answer, with real DVC, MLflow and TorchServe."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from model.cli.recipe import write_values
from model.schema import EXPRESSIONS, FLIP_68, LANDMARKS
from model.serving.client import EndpointClient
from model.serving.golden import golden_pictures
from model.storage import read_bytes
from tests.chain import Chain, make_chain
from tests.digests import stated_digests
from tests.spent import stopwatch

pytestmark = [pytest.mark.dvc, pytest.mark.service, pytest.mark.timeout(900)]

STAGES = ["index", "validate", "shard", "train", "evaluate", "register", "package"]
PICTURES = 50
RERUN_S = 10
PIXEL = 0.01
PROBABILITY = 1e-5


@pytest.fixture(scope="module")
def chain(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return make_chain(root, tmp_path_factory.mktemp("chain") / "clone")


@pytest.fixture(scope="module")
def faces(chain: Chain) -> pd.DataFrame:
    """Evaluated faces of the test split, with what evaluation answered."""
    return pd.read_parquet(chain.root / "artifacts/predictions.parquet").head(PICTURES)


@pytest.fixture(scope="module")
def cases(chain: Chain, faces: pd.DataFrame) -> Path:
    path = chain.root / "cases.jsonl"
    lines = [{"image": f"data/{row.image}", "box": list(row.box)} for row in faces.itertuples()]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return path


@pytest.fixture(scope="module")
def url(chain: Chain) -> Iterator[str]:
    """A running endpoint with the champion."""
    chain.run("rmtl", "promote", "--why", "test")
    chain.run("rmtl", "deploy")
    yield chain.json("reports/deployment.json")["url"]
    chain.run("rmtl", "deploy", "--stop")


def answers(chain: Chain, cases: Path, *options: str) -> list[dict]:
    out = chain.root / "answers.jsonl"
    chain.run("rmtl", "predict", "--cases", str(cases), "--out", str(out), *options)
    return [json.loads(line) for line in out.read_text().splitlines()]


def points_of(answer: dict) -> np.ndarray:
    assert answer["error"] is None
    return np.array(answer["faces"][0]["landmarks"])


def probabilities_of(answer: dict) -> np.ndarray:
    return np.array([answer["faces"][0]["expression"][name] for name in EXPRESSIONS])


def test_the_seven_stages_are_those_of_the_contract(chain: Chain) -> None:
    listing = chain.run("dvc", "stage", "list", "--name-only").stdout.split()
    assert listing == STAGES


def test_a_second_repro_runs_no_stage(chain: Chain) -> None:
    """T12."""
    before = (chain.root / "dvc.lock").read_bytes()
    spent = stopwatch()
    text = chain.run("dvc", "repro").stdout
    assert spent() < RERUN_S
    assert "Running stage" not in text
    assert (chain.root / "dvc.lock").read_bytes() == before


def test_a_changed_label_reruns_from_the_index_on(chain: Chain) -> None:
    """T13, T14."""
    labels = chain.root / "data/sample/labels.jsonl"
    content = labels.read_bytes()
    labels.unlink()
    try:
        labels.write_bytes(content.replace(b'"happy"', b'"sad"', 1))
        text = chain.run("dvc", "repro", "--dry").stdout
    finally:
        labels.unlink()
        labels.write_bytes(content)
    assert "Running stage 'index'" in text


@pytest.mark.parametrize(
    ("file", "stage"), [("model/evaluation/slices.py", "evaluate"), ("model/data/split.py", "index")]
)
def test_a_changed_line_of_code_reruns_its_stage(chain: Chain, file: str, stage: str) -> None:
    """T13: what follows runs only if its outputs differ."""
    source = chain.root / file
    content = source.read_text()
    try:
        source.write_text(content + "# another line\n")
        text = chain.run("dvc", "repro", "--dry").stdout
    finally:
        source.write_text(content)
    assert re.findall("Running stage '(.*)'", text) == [stage]


def test_two_repros_at_once_leave_a_whole_lock_file(chain: Chain) -> None:
    """T24."""
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "shard"]
    both = [
        subprocess.Popen(command, cwd=chain.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    texts = [process.communicate(timeout=300)[0] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, texts
    for code, text in zip(codes, texts, strict=True):
        assert code == 0 or "lock" in text.lower()
    assert chain.run("dvc", "status").stdout.strip().endswith("up to date.")


def test_metrics_and_plots_show_the_run(chain: Chain) -> None:
    assert "test/nme_interocular" in chain.run("dvc", "metrics", "show").stdout
    page = chain.run("dvc", "plots", "show").stdout.strip().removeprefix("file://")
    assert Path(page).read_text().count("vega") > 0


def test_predict_agrees_with_evaluation(chain: Chain, cases: Path, faces: pd.DataFrame) -> None:
    """T31."""
    local = answers(chain, cases, "--weights", "artifacts/train")
    assert len(local) == PICTURES
    for answer, row in zip(local, faces.itertuples(), strict=True):
        assert np.abs(points_of(answer) - np.reshape(row.landmarks, (LANDMARKS, 2))).max() <= PIXEL
        assert np.abs(probabilities_of(answer) - np.array(row.probabilities)).max() <= PROBABILITY


@pytest.mark.parametrize("where", ["archive", "registry", "endpoint"])
def test_every_road_gives_the_same_answer(chain: Chain, cases: Path, url: str, where: str) -> None:
    """T31."""
    roads = {
        "archive": ("--weights", "artifacts/residual-mtl.mar"),
        "registry": ("--weights", "models:/residual-mtl@champion"),
        "endpoint": ("--url", url),
    }
    expected = answers(chain, cases, "--weights", "artifacts/train")
    for answer, local in zip(answers(chain, cases, *roads[where]), expected, strict=True):
        assert answer["image"] == local["image"]
        assert np.abs(points_of(answer) - points_of(local)).max() <= PIXEL
        assert np.abs(probabilities_of(answer) - probabilities_of(local)).max() <= PROBABILITY


def test_a_mirrored_picture_gives_mirrored_points(chain: Chain, faces: pd.DataFrame, url: str) -> None:
    lines = []
    for number, row in enumerate(faces.head(8).itertuples()):
        image = cv2.imdecode(np.frombuffer(read_bytes(row.image, chain.root / "data"), np.uint8), cv2.IMREAD_COLOR)
        x0, y0, x1, y1 = row.box
        width = image.shape[1]
        for name, pixels, box in (
            (f"{number}.png", image, [x0, y0, x1, y1]),
            (f"{number}m.png", image[:, ::-1], [width - 1 - x1, y0, width - 1 - x0, y1]),
        ):
            cv2.imwrite(str(chain.root / name), pixels)
            lines.append(json.dumps({"image": name, "box": box}))
    path = chain.root / "mirrored.jsonl"
    path.write_text("\n".join(lines))
    served = answers(chain, path, "--url", url)
    for number, (straight, mirrored) in enumerate(zip(served[::2], served[1::2], strict=True)):
        width = cv2.imread(str(chain.root / f"{number}.png")).shape[1]
        back = points_of(mirrored)[FLIP_68] * [-1, 1] + [width - 1, 0]
        assert np.abs(points_of(straight) - back).max() <= 0.1
        assert np.abs(probabilities_of(straight) - probabilities_of(mirrored)).max() <= 1e-3


def test_the_lineage_of_a_served_answer_is_whole(chain: Chain, cases: Path, url: str) -> None:
    """T36: the digest of the data is one string from the manifest to the served header."""
    told = {answer["data_digest"] for answer in answers(chain, cases, "--url", url)}
    for subject in ("answers.jsonl", url, "models:/residual-mtl@champion"):
        result = chain.run("rmtl", "verify", subject, "--json", check=False)
        assert result.returncode == 0, result.stderr
        hops = {hop["hop"]: hop["value"] for hop in json.loads(result.stdout)}
        assert not {"none", "unknown"} & {hops[name] for name in ("archive", "served", "dvc.lock", "data", "manifest")}
    token = (chain.root / chain.json("reports/deployment.json")["key_file"]).read_text().strip()
    _, header = EndpointClient(url, token=token).ask(*golden_pictures(1)[0])
    stated = {
        **stated_digests(chain.root),
        "shards": chain.json("artifacts/shards/index.json")["data_digest"],
        "checkpoint": chain.json("artifacts/train/last/state.json")["origin"]["data_digest"],
        "header": header.data_digest,
    }
    assert set(stated.values()) == told == {stated["manifest"]}, stated


def test_registering_again_makes_no_second_version(chain: Chain) -> None:
    """T21."""
    first = chain.json("reports/registration.json")["version"]
    again = json.loads(chain.run("rmtl", "register", "--json").stdout)
    assert again["version"] == first


def test_a_port_in_use_ends_deploy_with_exit_code_5(chain: Chain, url: str) -> None:
    port = url.rsplit(":", 1)[1]
    started = time.monotonic()
    result = chain.run("rmtl", "deploy", check=False, RMTL_PORT=port)
    assert result.returncode == 5
    assert time.monotonic() - started < 60


@pytest.mark.pipeline
def test_the_pipeline_gives_the_same_weights_and_evaluation(chain: Chain) -> None:
    """T16."""
    path = chain.run("rmtl", "pipeline", "run", "--runner", "subprocess").stdout.strip().splitlines()[-1]
    piped, expected = chain.json(path), chain.json("reports/evaluation.json")
    assert piped["weights_digest"] == expected["weights_digest"]
    assert piped["summary"].keys() == expected["summary"].keys()
    for name, value in expected["summary"].items():
        assert piped["summary"][name] == pytest.approx(value, abs=1e-6), name


def test_another_learning_rate_reruns_training_and_what_follows_only(chain: Chain) -> None:
    """T13."""
    params = chain.root / "params.yaml"
    committed = params.read_text()
    write_values(params, {"train.lr": 0.003})
    text = chain.run("dvc", "repro").stdout
    assert [stage for stage in STAGES if f"Running stage '{stage}'" in text] == STAGES[3:]
    params.write_text(committed)
