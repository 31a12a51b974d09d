"""The servers of the comparison, started from the same archive and stopped by who started them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.load.clients import Target
from model.config import Config
from model.serving import server
from model.serving.schema import BODY_TYPE_HEADER
from model.serving.settings import SETTINGS_FILE, UPSTREAM_KEY_FILE
from model.storage import read_json

_END_S = 60


@contextmanager
def servers(config: Config, archive: Path, scratch: Path, *, params: Path) -> Iterator[Mapping[str, Target]]:
    """TorchServe, the router before it, and the second server."""
    with ExitStack() as stack:
        targets = stack.enter_context(torchserve_and_router(config, archive, scratch / "endpoint"))
        targets |= stack.enter_context(_second(archive, params))
        yield targets


@contextmanager
def torchserve_and_router(config: Config, archive: Path, state: Path) -> Iterator[dict[str, Target]]:
    """Both as `rmtl deploy` starts them, the inner one asked in the way of the router."""
    deployment = server.start(config.deploy, archive=archive, state=state, report=state / "deployment.json")
    try:
        path = f"/predictions/{deployment.model}"
        token = Path(str(deployment.key_file)).read_text().strip()
        settings = read_json(state / SETTINGS_FILE)
        key = read_json(state / settings["server"] / UPSTREAM_KEY_FILE)["inference"]["key"]
        inner = {BODY_TYPE_HEADER: "application/json", "Content-Type": "application/octet-stream"}
        yield {
            "TorchServe": Target(settings["upstream"] + path, inner | _bearer(key)),
            "router": Target(deployment.url + path, {"Content-Type": "application/json"} | _bearer(token)),
        }
    finally:
        server.stop(deployment, state=state)


@contextmanager
def _second(archive: Path, params: Path) -> Iterator[dict[str, Target]]:
    command = [sys.executable, "-c", "from model.cli import main; main()", "deploy", "--foreground", "--json"]
    command += ["--protocol", "v2", "--weights", str(archive), "--params", str(params)]
    environment = {name: value for name, value in os.environ.items() if name != "RMTL_PORT"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            deployment = json.loads(process.stdout.readline() if process.stdout else "")
            token = Path(deployment["key_file"]).read_text().strip()
            url = f"{deployment['url']}/v2/models/{deployment['model']}/infer"
            yield {"second server": Target(url, {"Content-Type": "application/json"} | _bearer(token))}
        finally:
            process.terminate()
            process.wait(_END_S)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
