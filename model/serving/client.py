"""An endpoint asked in the way of a predictor."""

import base64
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from model.errors import ServiceError
from model.schema import Box
from model.serving.schema import BODY_TYPE_HEADER, DIGEST_HEADER, STATUS, VERSION_HEADER, Origin
from model.serving.session import open_session

TIMEOUT_S = 60.0
REACH_S = 5.0
LONGEST_WAIT_S = 10.0
_ANSWERED = {200, *STATUS.values()} - {STATUS["unauthorized"], STATUS["overloaded"]}


class EndpointClient:
    """Calls one endpoint; `url` is its address, `http://host:port`, or that with `/predictions/NAME` behind.

    With `inner` it is TorchServe itself that is asked, in the way of the router. A server that is overloaded and says
    when to come back is asked `again` times more before that is an error.
    """

    def __init__(
        self, url: str, *, model: str = "residual-mtl", token: str | None = None, inner: bool = False, again: int = 0
    ) -> None:
        base = url.rstrip("/")
        self._inner, self._again = inner, again
        self.url = base if "/predictions/" in base else f"{base}/predictions/{model}"
        self._session = open_session(self.url, token)

    def predict(self, content: bytes, boxes: Sequence[Box] | None = None) -> dict[str, Any]:
        """Faces of one picture, or its error, as `Predictor.predict` gives them.

        Raises:
            ServiceError: no connection, a wrong token, an overloaded server, or an answer that is no JSON object.
        """
        return self.ask(content, boxes)[0]

    def ask(self, content: bytes, boxes: Sequence[Box] | None = None) -> tuple[dict[str, Any], Origin]:
        """As `predict`, and the origin that the answer's headers name.

        Raises:
            ServiceError: as `predict`.
        """
        if boxes is None:
            answer, headers = self._send(content, "application/octet-stream")
        else:
            instance = {"image": base64.b64encode(content).decode(), "boxes": [list(box) for box in boxes]}
            answer, headers = self._send(_encode({"instances": [instance]}), "application/json")
        if not isinstance(answer.get("error", ""), dict | None):
            raise ServiceError(f"{self.url}: an answer of another kind; is this the address of the model?")
        told = {"faces": []} | {name: value for name, value in answer.items() if name != "predictions"}
        return told, Origin(headers.get(VERSION_HEADER, ""), headers.get(DIGEST_HEADER, ""))

    def is_there(self) -> bool:
        """Whether anything answers at the address, ready or not."""
        try:
            self._session.get(f"{self.url.partition('/predictions/')[0]}/ping", timeout=REACH_S)
        except requests.RequestException:
            return False
        return True

    def post_json(self, body: Any) -> dict[str, Any]:
        """Send a JSON request."""
        return self.post(_encode(body), "application/json")

    def post(self, body: bytes, content_type: str) -> dict[str, Any]:
        """Send a body as it is.

        Raises:
            ServiceError: as `predict`.
        """
        return self._send(body, content_type)[0]

    def _send(self, body: bytes, content_type: str) -> tuple[dict[str, Any], Mapping[str, str]]:
        """The answer and its headers, whose names count in any case."""
        headers = {"Content-Type": content_type}
        if self._inner:
            headers = {"Content-Type": "application/octet-stream", BODY_TYPE_HEADER: content_type}
        try:
            response = self._post(body, headers)
            answer = response.json()
        except requests.JSONDecodeError as error:
            raise ServiceError(
                f"{self.url}: answered {response.status_code} without JSON; is this the model?"
            ) from error
        except requests.RequestException as error:
            raise ServiceError(f"{self.url}: no answer: {error}; is it deployed? `rmtl deploy`") from error
        if response.status_code not in _ANSWERED or not isinstance(answer, dict):
            raise ServiceError(f"{self.url}: {response.status_code}: {_message(answer)}")
        return answer, response.headers

    def _post(self, body: bytes, headers: Mapping[str, str]) -> requests.Response:
        for left in range(self._again, -1, -1):
            response = self._session.post(self.url, data=body, headers=headers, timeout=TIMEOUT_S)
            wait = response.headers.get("Retry-After", "")
            if response.status_code != STATUS["overloaded"] or not wait.isdecimal() or not left:
                break
            time.sleep(min(float(wait), LONGEST_WAIT_S))
        return response


def _encode(body: Any) -> bytes:
    return json.dumps(body, allow_nan=False).encode()


def _message(answer: Any) -> str:
    try:
        return str(answer["error"]["message"])
    except (KeyError, TypeError):
        return "an answer of another kind; is this the address of the model?"
