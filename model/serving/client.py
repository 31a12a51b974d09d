"""An endpoint asked in the way of a predictor."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import requests

from model.errors import ServiceError
from model.schema import Box
from model.serving.schema import BODY_TYPE_HEADER

TIMEOUT_S = 60.0


class EndpointClient:
    """Calls one endpoint; `url` is its address, `http://host:port`, or that with `/predictions/NAME` behind.

    With `inner` it is TorchServe itself that is asked, in the way of the router.
    """

    def __init__(self, url: str, *, model: str = "residual-mtl", token: str | None = None, inner: bool = False) -> None:
        base = url.rstrip("/")
        self._inner = inner
        self.url = base if "/predictions/" in base else f"{base}/predictions/{model}"
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def predict(self, content: bytes, boxes: Sequence[Box] | None = None) -> dict[str, Any]:
        """Faces of one picture, or its error, as `Predictor.predict` gives them.

        Raises:
            ServiceError: no connection, a wrong token, an overloaded server, or an answer that is no JSON object.
        """
        if boxes is None:
            answer = self.post(content, "application/octet-stream")
        else:
            instance = {"image": base64.b64encode(content).decode(), "boxes": [list(box) for box in boxes]}
            answer = self.post_json({"instances": [instance]})
        return {"faces": []} | {name: value for name, value in answer.items() if name != "predictions"}

    def post_json(self, body: Any) -> dict[str, Any]:
        """Send a JSON request."""
        return self.post(json.dumps(body, allow_nan=False).encode(), "application/json")

    def post(self, body: bytes, content_type: str) -> dict[str, Any]:
        """Send a body as it is.

        Raises:
            ServiceError: as `predict`.
        """
        headers = {"Content-Type": content_type}
        if self._inner:
            headers = {"Content-Type": "application/octet-stream", BODY_TYPE_HEADER: content_type}
        try:
            response = self._session.post(self.url, data=body, headers=headers, timeout=TIMEOUT_S)
            answer = response.json()
        except requests.JSONDecodeError as error:
            raise ServiceError(
                f"{self.url}: answered {response.status_code} without JSON; is this the model?"
            ) from error
        except requests.RequestException as error:
            raise ServiceError(f"{self.url}: no answer: {error}; is it deployed? `rmtl deploy`") from error
        if response.status_code in (401, 503) or not isinstance(answer, dict):
            raise ServiceError(f"{self.url}: {response.status_code}: {_message(answer)}")
        return answer


def _message(answer: Any) -> str:
    try:
        return str(answer["error"]["message"])
    except (KeyError, TypeError):
        return "an answer of another kind; is this the address of the model?"
