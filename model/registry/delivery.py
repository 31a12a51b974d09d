"""What was made of a version: its archives, and what an endpoint answers in its name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from model.errors import CheckpointError, ServiceError
from model.registry.hop import NONE, Hop
from model.registry.versions import identity
from model.serving.archive import read_package, unpack
from model.serving.client import EndpointClient
from model.serving.golden import differences, golden_pictures
from model.serving.predictor import Predictor
from model.serving.schema import Answer, Origin
from model.weights import Meta, load_meta

_ASKS = 20
"""A canary's challenger may answer in the place of the version; these many times it does not."""


@dataclass(frozen=True)
class Registered:
    """A version as the registry holds it: number, folder of its checked weights, and their description."""

    version: str
    weights: Path
    meta: Meta


@dataclass(frozen=True)
class Endpoint:
    """An endpoint, and the version that its deployment says it serves."""

    client: EndpointClient
    version: str


@dataclass(frozen=True)
class Served:
    """What an endpoint answered to a made picture, and the origin that the answer's headers name."""

    url: str
    answer: dict[str, Any]
    origin: Origin


def ask(client: EndpointClient, version: str | None = None) -> Served:
    """Ask an endpoint about a made picture, until this version answers; a canary's may come first.

    Raises:
        ServiceError: no connection, a wrong token, an overloaded server, or an answer of another kind.
    """
    content, boxes = golden_pictures(1)[0]
    for _ in range(_ASKS):
        answer, origin = client.ask(content, boxes)
        if version in (None, origin.version):
            break
    return Served(client.url, answer, origin)


def archive_hops(folders: Iterable[Path], registered: Registered) -> Iterator[Hop]:
    """One hop an archive that names the version, or the weights before they were registered."""
    found = False
    for mar in sorted(path for folder in folders for path in folder.glob("*.mar")):
        for hop in _archive(mar, registered):
            found = True
            yield hop
    if not found:
        yield Hop("archive", NONE, "")


def served_hop(endpoint: Endpoint | None, served: Served | None, registered: Registered) -> Hop:
    """See that an endpoint names the registered data, and answers as the registered weights do.

    Args:
        endpoint: a deployment, asked where it is of this version and still there.
        served: what an endpoint has answered already; it goes before the deployment.
    """
    try:
        if served is None:
            if endpoint is None or endpoint.version != registered.version:
                return Hop("served", NONE, "")
            if not endpoint.client.is_there():
                return Hop("served", f"{endpoint.client.url}, which no longer answers", "")
            served = ask(endpoint.client, registered.version)
    except ServiceError as error:
        return Hop("served", endpoint.client.url if endpoint else NONE, str(error))
    return Hop("served", f"{served.url} ({served.origin.version})", "; ".join(_served_problems(served, registered)))


def _archive(mar: Path, registered: Registered) -> Iterator[Hop]:
    meta = registered.meta
    with TemporaryDirectory() as scratch:
        try:
            folder = unpack(mar, Path(scratch) / "weights")
            package, packed = read_package(folder), load_meta(folder)
        except CheckpointError as error:
            yield Hop("archive", str(mar), str(error))
            return
    named = package.model_version
    if named not in (registered.version, meta.weights_digest[:12]):
        return
    problem = ""
    if packed.weights_digest != meta.weights_digest or package.weights_digest != meta.weights_digest:
        problem = f"holds weights {packed.weights_digest[:12]}, registered are {meta.weights_digest[:12]}"
    elif packed.data_digest != meta.data_digest:
        problem = f"names data {packed.data_digest}, registered is {meta.data_digest}"
    elif identity(packed) != identity(meta):
        problem = "answers otherwise: network, mean shape or temperature are not the registered ones"
    yield Hop("archive", f"{mar} ({named})", f"{problem}; package the version again" if problem else "")


def _served_problems(served: Served, registered: Registered) -> Iterator[str]:
    origin, meta = served.origin, registered.meta
    if origin.version not in (registered.version, meta.weights_digest[:12]):
        yield f"version {origin.version} answers, deployed was {registered.version}"
        return
    try:
        Answer.model_validate(served.answer)
    except ValidationError:
        yield f"it answers {served.answer!s:.200}, which tells no faces of a made picture"
        return
    if origin.data_digest != meta.data_digest:
        yield f"its header names data {origin.data_digest}, registered is {meta.data_digest}"
    if Origin.of(served.answer) != origin:
        yield f"its answer names {Origin.of(served.answer)}, its header {origin}"
    content, boxes = golden_pictures(1)[0]
    try:
        expected = Predictor(registered.weights).predict(content, boxes)
    except CheckpointError as error:
        yield f"the registered weights do not answer: {error}"
        return
    if wrong := differences(expected, served.answer):
        yield f"it answers otherwise than the registered weights: {'; '.join(wrong)}"
