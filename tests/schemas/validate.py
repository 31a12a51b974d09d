"""Bodies of custom resources against the schemas of their CRDs, with unknown fields forbidden."""

import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parent
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label: services are named after the object."""


def check(kind: str, body: dict[str, Any]) -> None:
    """Accept a body that an API server would store field for field.

    Raises:
        ValueError: all problems, one a line, each with its dotted path.
    """
    api_version, validator = _schema(kind)
    found = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(body)]
    for field, wanted in (("apiVersion", api_version), ("kind", kind)):
        if body.get(field) != wanted:
            found.append(f"$.{field}: {body.get(field)!r}, need {wanted!r}")
    name = body.get("metadata", {}).get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        found.append(f"$.metadata.name: {name!r} is no DNS label")
    if found:
        raise ValueError("\n".join([f"{kind}: {len(found)} problem(s)", *found]))


@cache
def _schema(kind: str) -> tuple[str, Draft202012Validator]:
    """`apiVersion`, as the file's name gives it, and the strict schema."""
    (path,) = SCHEMAS.glob(f"{kind.lower()}.*.json.gz")
    group, version = path.name.removesuffix(".json.gz").removeprefix(f"{kind.lower()}.").rsplit("_", 1)
    schema = json.loads(gzip.decompress(path.read_bytes()))
    return f"{group}/{version}", Draft202012Validator(_strict(schema))


def _strict(node: Any) -> Any:
    """The schema in the JSON dialect: closed objects, and integer or text where Kubernetes takes either."""
    match node:
        case list():
            return [_strict(item) for item in node]
        case {"x-kubernetes-int-or-string": True, **rest}:
            return {"type": ["integer", "string"]} | {name: value for name, value in rest.items() if name == "pattern"}
        case {"properties": dict(properties), **rest} if not isinstance(rest.get("type"), dict):
            closed = {} if rest.get("x-kubernetes-preserve-unknown-fields") else {"additionalProperties": False}
            fields = {name: _strict(value) for name, value in properties.items()}
            return {name: _strict(value) for name, value in rest.items()} | closed | {"properties": fields}
        case dict():
            return {name: _strict(value) for name, value in node.items()}
        case _:
            return node
