"""How big sets travel: the same pictures as single files and as tar shards, by DVC through a real S3 server.

For each way: seconds of `dvc add`, of a push from it and of a pull into an empty clone, objects in the bucket, and the
requests that the server counted. The server runs on this machine and answers at once: over a network each request also
waits for its way there and back, so the number of requests says more than these seconds.

Run: python -m benchmarks.transport --pictures 20000 --out docs/results/transport.json
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import requests
from PIL import Image

from benchmarks.entry import run, say
from benchmarks.object_store import Server, run_server
from benchmarks.tars import add_member
from model.data.remote import OPTIONS, dvc_environment
from model.errors import ServiceError
from model.s3 import s3_client
from model.storage import write_json

WAYS = ("shards", "files")
ACCESS = "transport"
SECRET = token_hex(16)
SIDE = 112
LONGEST_S = 1500.0
"""Of one DVC command; one that takes longer is stopped, and the report says so."""


def main() -> None:
    """Measure both ways on one server, each in a bucket of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--shard-pictures", type=int, default=1_000, help="pictures of one tar")
    parser.add_argument("--longest", type=float, default=LONGEST_S, help="seconds one DVC command may take")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(Path(scratch), options.pictures, options.shard_pictures, options.longest)
    write_json(options.out, {"pictures": options.pictures, "cpus": len(os.sched_getaffinity(0)), "ways": found})
    for name, values in found.items():
        say(f"{name}: {values}")


def measure(scratch: Path, pictures: int, shard_pictures: int, longest_s: float = LONGEST_S) -> dict[str, Any]:
    """Figures of each way, by its name; none of a step that took longer than allowed, nor of those after it."""
    (scratch / "server").mkdir()
    with run_server(scratch / "server", access=ACCESS, secret=SECRET) as server:
        os.environ.update(_variables(server))
        s3_client.cache_clear()
        return {way: _travel(way, scratch / way, server, (pictures, shard_pictures), longest_s) for way in WAYS}


def picture(seed: int) -> bytes:
    """A JPEG of about 2.5 KB: a gradient with noise."""
    generator = np.random.default_rng(seed)
    slope = np.linspace(0, 160, SIDE)[:, None, None] + generator.integers(0, 60, 3)
    pixels = (slope + generator.integers(0, 36, (SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=75)
    return stream.getvalue()


def write_files(folder: Path, pictures: int) -> None:
    """Each picture as a file, a thousand in a folder."""
    for number in range(pictures):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))


def write_shards(folder: Path, pictures: int, shard_pictures: int) -> None:
    """The same pictures as plain tars of `shard_pictures` each."""
    folder.mkdir(parents=True)
    for start in range(0, pictures, shard_pictures):
        with tarfile.open(folder / f"{start // shard_pictures:05}.tar", "w") as archive:
            for number in range(start, min(start + shard_pictures, pictures)):
                add_member(archive, f"{number:06}.jpg", picture(number))


def requests_of(server: Server) -> int:
    """Requests that the server's S3 interface has counted since it started."""
    text = requests.get(server.metrics_url, timeout=10).text
    return round(sum(float(value) for value in re.findall(r"^SeaweedFS_s3_request_total\{.*\} (\S+)$", text, re.M)))


def _travel(way: str, project: Path, server: Server, sizes: tuple[int, int], longest_s: float) -> dict[str, Any]:
    s3_client().create_bucket(Bucket=way)
    _write(way, project / "data", *sizes)
    files = [path for path in (project / "data").rglob("*") if path.is_file()]
    figures: dict[str, Any] = {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}
    _prepare(project, way, server)
    for step, command in (("add", ("add", "data")), ("push", ("push",)), ("pull", ("pull",))):
        if step == "pull":
            figures["objects"] = sum(1 for _ in _keys(way))
            _forget(project)
        before, began = requests_of(server), time.monotonic()
        ended = _dvc(project, *command, longest_s=longest_s)
        figures[step] = {"s": round(time.monotonic() - began, 1), "requests": requests_of(server) - before}
        say(f"{way}: {step} {figures[step]}")
        if not ended:
            return {**figures, "stopped": f"{step} took longer than {longest_s:g} s; its figures are those until then"}
    assert {path for path in (project / "data").rglob("*") if path.is_file()} == set(files)
    return figures


def _write(way: str, folder: Path, pictures: int, shard_pictures: int) -> None:
    if way == "files":
        write_files(folder, pictures)
    else:
        write_shards(folder, pictures, shard_pictures)


def _prepare(project: Path, bucket: str, server: Server) -> None:
    _dvc(project, "init", "--no-scm", "--quiet")
    options = {"url": f"s3://{bucket}/data", "endpointurl": server.url, **OPTIONS}
    lines = ["[core]", "    analytics = false", "    no_scm = true", "    remote = origin", "['remote \"origin\"']"]
    lines += [f"    {name} = {value}" for name, value in options.items()]
    (project / ".dvc" / "config").write_text("\n".join(lines) + "\n")


def _forget(project: Path) -> None:
    """As a fresh clone: data.dvc and the settings are left."""
    shutil.rmtree(project / "data")
    for name in ("cache", "tmp"):
        shutil.rmtree(project / ".dvc" / name, ignore_errors=True)


def _keys(bucket: str) -> Iterator[str]:
    for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from (item["Key"] for item in page.get("Contents", []))


def _dvc(project: Path, *arguments: str, longest_s: float = LONGEST_S) -> bool:
    """Run DVC; False where it took too long and was stopped."""
    command = [sys.executable, "-m", "dvc", *arguments]
    # DVC's database of remote objects lies in the site's cache, not in the project.
    environment = {**dvc_environment(), "DVC_SITE_CACHE_DIR": str(project / ".dvc" / "tmp" / "site")}
    try:
        subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, timeout=longest_s)
    except subprocess.TimeoutExpired:
        return False
    except subprocess.CalledProcessError as error:
        raise ServiceError(f"dvc {' '.join(arguments)}: {error.stderr.decode()[-500:]}") from error
    return True


def _variables(server: Server) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_S3": server.url,
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


if __name__ == "__main__":
    run(main)
