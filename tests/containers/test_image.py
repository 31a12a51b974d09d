"""Both images, as an operator runs them: without rights, without network, on a read-only root."""

import json
import subprocess
from pathlib import Path

import docker
import pytest

import model
from model.schema import INTENDED_USE
from tests.containers.conftest import CANARIES

pytestmark = [pytest.mark.container, pytest.mark.timeout(1800)]

HEAVY = ("mlflow", "dvc", "kfp", "great_expectations", "optuna", "sklearn", "boto3")


@pytest.fixture(params=["train", "serve"])
def image(request: pytest.FixtureRequest, train_image: str, serve_image: str) -> str:
    return {"train": train_image, "serve": serve_image}[request.param]


def run(engine: docker.DockerClient, image: str, *command: str, user: str | None = None) -> str:
    """Output of a command in a container that may write below /tmp only; fails as the command does."""
    output = engine.containers.run(
        image,
        list(command),
        user=user,
        remove=True,
        read_only=True,
        tmpfs={"/tmp": ""},
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )
    return output.decode()


def python(engine: docker.DockerClient, image: str, code: str) -> str:
    return run(engine, image, "python", "-c", code)


def test_the_command_works_without_rights_on_a_read_only_root(engine, image):
    """T46."""
    assert "deploy" in run(engine, image, "rmtl", "--help")
    findings = {item["name"]: item for item in json.loads(run(engine, image, "rmtl", "doctor", "--json"))}
    assert findings["torch"]["status"] == findings["java"]["status"] == "ok"


def test_the_user_is_not_root_and_owns_nothing_of_the_program(engine, image):
    """T46."""
    assert run(engine, image, "id", "-u").strip() == "10001"
    assert run(engine, image, "find", "/app", "/opt", "-writable", "!", "-type", "l") == ""


def test_an_unknown_user_number_works_as_well(engine, image):
    """Clusters that choose the number themselves."""
    assert "deploy" in run(engine, image, "rmtl", "--help", user="1000650000:0")
    code = "import getpass, torch._dynamo; print(getpass.getuser())"
    assert run(engine, image, "python", "-c", code, user="1000650000:0").strip() == "rmtl"


@pytest.mark.parametrize("shell", ["-c", "-lc"])
def test_programs_are_on_the_path_of_plain_and_login_shells(engine, image, shell):
    told = run(engine, image, "bash", shell, "command -v python python3 torchrun rmtl; python -c 'import torch, model'")
    assert told.split() == [f"/opt/venv/bin/{name}" for name in ("python", "python3", "torchrun", "rmtl")]


def test_labels_say_what_the_image_is_and_where_it_comes_from(engine, image, root):
    labels = engine.images.get(image).labels
    assert labels["org.opencontainers.image.title"] in ("residual-mtl", "residual-mtl-serve")
    assert labels["org.opencontainers.image.version"] == model.__version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["residual-mtl.intended-use"] == INTENDED_USE
    revision = labels["org.opencontainers.image.revision"]
    # Someone may have committed since the build.
    subprocess.run(["git", "merge-base", "--is-ancestor", revision, "HEAD"], cwd=root, check=True)


def test_weights_trained_inside_name_the_commit(engine, image):
    code = "from model.weights import git_revision; print(git_revision())"
    assert python(engine, image, code).strip() == engine.images.get(image).labels["org.opencontainers.image.revision"]


def test_no_secret_of_the_build_is_in_history_configuration_or_files(engine, image):
    """T17 and T46."""
    inspected = engine.images.get(image)
    text = json.dumps([inspected.history(), inspected.attrs])
    assert [name for name, value in CANARIES.items() if value in text] == []
    search = "grep -rlF -e canary- --include='*' / --exclude-dir=proc --exclude-dir=sys 2>/dev/null | xargs -r grep -lF"
    patterns = " ".join(f"-e {value}" for value in CANARIES.values())
    assert run(engine, image, "sh", "-c", f"{search} {patterns} || true", user="0") == ""


def test_tools_and_inputs_of_the_build_stay_out(engine, image):
    wanted = ["-name", "torch-*.whl", "-o", "-path", "*/bin/uv", "-o", "-path", "/build", "-o", "-path", "*/.cache/*"]
    assert run(engine, image, "find", "/", "-xdev", *wanted, user="0") == ""


def test_versions_are_those_of_the_constraints(engine, image, root: Path):
    pins = dict(line.split("==") for line in (root / "constraints.txt").read_text().splitlines() if "==" in line)
    code = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    installed = json.loads(python(engine, image, code))
    known = {name.lower().replace("_", "-").replace(".", "-"): pin for name, pin in pins.items()}
    other = {}
    for name, version in installed.items():
        pin = known.get(name.lower().replace("_", "-").replace(".", "-"))
        if pin != version.partition("+")[0] and name != "residual-mtl":
            other[name] = (version, pin)
    assert other == {}


def test_training_has_every_package_and_serving_only_what_the_endpoint_imports(engine, train_image, serve_image):
    code = f"import importlib.util as u; print([name for name in {HEAVY} if u.find_spec(name)])"
    assert python(engine, train_image, code).strip() == str(list(HEAVY))
    assert python(engine, serve_image, code).strip() == "[]"


def test_the_images_share_their_large_layer(engine, train_image, serve_image):
    """Only the last layer of serving, our own code, stands elsewhere in training."""
    train, serve = (engine.images.get(name).attrs for name in (train_image, serve_image))
    shared = serve["RootFS"]["Layers"][:-1]
    assert train["RootFS"]["Layers"][: len(shared)] == shared
    assert serve["Size"] < 0.8 * train["Size"]


def test_a_component_finds_its_executor_in_the_image(engine, train_image):
    """Components install nothing at run time."""
    code = "import kfp.dsl.executor_main, kfp; import components.train, pipelines.training; print(kfp.__version__)"
    assert python(engine, train_image, code).strip() == "2.17.0"
