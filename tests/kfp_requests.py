"""What the stand-in of the Kubeflow Pipelines API checks in a request before it looks at its own state.

Bodies are held against the classes that the server's interface description generated (`kfp_server_api`): a field that
they do not have, or a value of another type, is refused.
"""

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import kfp_server_api

from tests.kfp_cron import check_cron
from tests.kfp_rules import InvalidInputError, Package, parse_yaml

CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 503: 14}
LENGTHS = {"experiment": 128, "pipeline": 128, "version": 127}
MAX_PAGE = 200
OPERATIONS = {1: "EQUALS", "EQUALS": "EQUALS"}
FILTER_KEYS = ("display_name", "name", "created_at", "id")
PRIMITIVES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int, str), "bool": (bool,), "object": (object,)}


class RefusalError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """What came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


def authenticate(request: Request, token: str | None) -> None:
    """Refuse a request without the token, if there is one."""
    given = request.headers.get("authorization", "")
    if token and given != f"Bearer {token}":
        raise RefusalError(401, f"Unauthenticated: {given!r} is not known")


def body_of(request: Request, model: str) -> dict[str, Any]:
    """The JSON body, which has to fit a class of the interface."""
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise InvalidInputError(f"invalid JSON: {error}") from error
    _check_type(body, model, "")
    return dict(body)


def named(body: dict[str, Any], what: str) -> str:
    """The display name, which has to be there and to fit a column of the database."""
    name = str(body.get("display_name") or body.get("name") or "")
    if not name.strip():
        raise InvalidInputError(f"{what}'s name is empty. Please specify a valid name")
    return within_length(name, what)


def within_length(name: str, what: str) -> str:
    """The name, unless it is too long."""
    if len(name) > LENGTHS[what]:
        raise InvalidInputError(f"{what}.Name length cannot exceed {LENGTHS[what]}")
    return name


def place_of(namespace: str | None, multi_user: bool) -> str:
    """The namespace, which a server for several users wants and another one does not look at."""
    if not multi_user:
        return ""
    if not namespace:
        raise InvalidInputError("An experiment cannot have an empty namespace in multi-user mode")
    return namespace


def uploaded(request: Request) -> Package:
    """The package in the form field `uploadfile`."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "uploadfile":
            if not str(part.get_filename()).endswith((".yaml", ".yml")):
                raise InvalidInputError("Unexpected pipeline file format. Support .zip, .tar.gz, .json or YAML")
            return parse_yaml(part.get_payload(decode=True).decode())
    raise InvalidInputError("Failed to read pipeline from file")


def page(request: Request, field: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """One page of those that the filter lets through; the token of a page is the number of its first item."""
    size, token = request.query.get("page_size") or "20", request.query.get("page_token") or "0"
    if not re.fullmatch(r"-?\d+", size) or int(size) < 0:
        raise InvalidInputError(f"The page size should be greater than 0. Got {size}")
    if not token.isdigit():
        raise InvalidInputError("Invalid page token")
    wanted = _predicates(request)
    found = [item for item in items if all(item.get(key) == value for key, value in wanted)]
    start, count = int(token), min(int(size) or 20, MAX_PAGE)
    more = str(start + count) if start + count < len(found) else ""
    return {field: found[start : start + count], "total_size": len(found), "next_page_token": more}


def keep(store: dict[str, dict[str, Any]], key: str, value: dict[str, Any]) -> dict[str, Any]:
    """Store a new object under a new id."""
    made = {**value, key: str(uuid.uuid4()), "created_at": now()}
    store[made[key]] = made
    return made


def known(store: dict[str, dict[str, Any]], key: str, what: str) -> dict[str, Any]:
    """A stored object, or 404."""
    if key not in store:
        raise RefusalError(404, f"ResourceNotFoundError: {what} {key} not found.")
    return store[key]


def now() -> str:
    """The time as the server writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def recurring(body: dict[str, Any]) -> dict[str, str]:
    """What the server adds to a recurring run, if its trigger and the number of its runs at a time are in order."""
    concurrency = int(body.get("max_concurrency") or 0)
    if not 1 <= concurrency <= 10:
        raise InvalidInputError(
            f"Max concurrency of a recurring run must be at least 1 and at most 10. Received {concurrency}"
        )
    _check_trigger(body.get("trigger") or {})
    status = "ENABLED" if body.get("mode") == "ENABLE" else "DISABLED"
    return {"status": status, "max_concurrency": str(concurrency)}


def _check_trigger(trigger: dict[str, Any]) -> None:
    cron, periodic = trigger.get("cron_schedule"), trigger.get("periodic_schedule")
    if bool(cron) == bool(periodic):
        raise InvalidInputError("a recurring run needs one trigger: cron_schedule or periodic_schedule")
    if cron:
        try:
            check_cron(cron.get("cron", ""))
        except ValueError as error:
            raise InvalidInputError(
                f"Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron). Error: {error}"
            ) from error
    elif int(periodic.get("interval_second", 0)) < 1:
        raise InvalidInputError("Found invalid period schedule interval. Set at interval to least 1 second")


def refusal(status: int, message: str, request: Request) -> dict[str, Any]:
    """The JSON of an error; uploads have another shape than the rest."""
    if "/upload" in request.path:
        return {"error_message": message, "error_details": message}
    code = CODES.get(status, 2)
    detail = {"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": message}
    return {"error": message, "code": code, "message": message, "details": [detail]}


def _predicates(request: Request) -> list[tuple[str, str]]:
    text = request.query.get("filter")
    if not text:
        return []
    try:
        tree = json.loads(text)
        predicates = [_predicate(item) for item in tree.pop("predicates")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"failed to parse valid filter from {text!r}: {error}") from error
    if tree:
        raise InvalidInputError(f"failed to parse valid filter from {text!r}: unknown field {sorted(tree)}")
    return predicates


def _predicate(item: dict[str, Any]) -> tuple[str, str]:
    operation, key = item.pop("operation"), item.pop("key")
    value = item.pop("stringValue", None) or item.pop("string_value")
    if item or OPERATIONS.get(operation) != "EQUALS" or key not in FILTER_KEYS:
        raise ValueError(f"operation {operation}, key {key}, rest {sorted(item)}")
    return key, str(value)


def _check_type(value: Any, kind: str, place: str) -> None:
    if value is None:
        return
    outer = re.fullmatch(r"(list\[|dict\(str, )(.*)[\])]", kind)
    model = getattr(kfp_server_api.models, kind, None)
    if outer:
        _check_items(value, outer, place)
    elif kind == "datetime":
        _need(isinstance(value, str) and bool(re.match(r"\d{4}-\d\d-\d\dT", value)), place, "a time")
    elif model is None:
        wrong_bool = isinstance(value, bool) and kind in ("str", "int")
        _need(isinstance(value, PRIMITIVES[kind]) and not wrong_bool, place, f"type {kind}")
    elif not model.openapi_types:
        _need(value in model.allowable_values, place, f"one of {model.allowable_values}")
    else:
        _need(isinstance(value, dict), place, "an object")
        types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
        for name, item in value.items():
            _need(name in types, f"{place}.{name}", "no such field")
            _check_type(item, types[name], f"{place}.{name}")


def _check_items(value: Any, outer: re.Match[str], place: str) -> None:
    if outer.group(1) == "list[":
        _need(isinstance(value, list), place, "a list")
        for item in value:
            _check_type(item, outer.group(2), f"{place}[]")
    else:
        _need(isinstance(value, dict), place, "an object")
        for item in value.values():
            _check_type(item, outer.group(2), f"{place}{{}}")


def _need(condition: bool, place: str, what: str) -> None:
    if not condition:
        raise InvalidInputError(f"unknown or wrong field {place or 'body'}: {what}")
