"""The head that all pipelines share: from the name of a data version to shards."""

from typing import Any, NamedTuple

from kfp import dsl

from components.index import index as index_faces
from components.ingest import ingest as ingest_data
from components.resolve import resolve as resolve_version
from components.shard import shard as shard_faces
from components.validate import validate as validate_faces
from pipelines.platform import place, retried, shared


class Faces(NamedTuple):
    """What later steps read; `digest` names the valid faces."""

    version: Any
    data: Any
    valid_manifest: Any
    shards: Any
    digest: Any


def prepare(
    version: Any, *, seed: Any, index: dict[str, Any], validate: dict[str, Any], shard: dict[str, Any], remote: str
) -> Faces:
    """Fetch a data version, index it, validate it, pack shards."""
    fetched = retried(shared(place(ingest_data(data_version=version, remote=remote))))
    data = fetched.outputs["data"]
    indexed = place(index_faces(section=index, seed=seed, data_version=version, data=data))
    manifest = indexed.outputs["manifest"]
    checked = place(validate_faces(section=validate, data_version=version, data=data, manifest=manifest))
    valid, digest = checked.outputs["valid_manifest"], checked.outputs["Output"]
    packed = place(shard_faces(section=shard, data_digest=digest, data=data, valid_manifest=valid))
    return Faces(version, data, valid, packed.outputs["shards"], digest)


def version_of(data_version: Any, *, named_by: Any, repository: Any) -> Any:
    """The digest of a data version; only one that a revision names is looked up anew in every run."""
    with dsl.If(named_by == "revision"):
        looked_up = retried(place(resolve_version(data_version=data_version, repository=repository)))
        looked_up.set_caching_options(enable_caching=False)
    with dsl.Else():
        given = place(resolve_version(data_version=data_version, repository=""))
    return dsl.OneOf(looked_up.outputs["Output"], given.outputs["Output"])
