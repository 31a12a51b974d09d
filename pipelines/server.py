"""The Kubeflow Pipelines server: where it is, and calls to it that end in bounded time.

Run:
    python -m pipelines.server     # answers? exit code 0, 2 (settings) or 5 (out of reach)
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from model.errors import ConfigError, FaceError, ServiceError

PATIENT_S, QUICK_S = (4.0, 20.0), (3.0, 5.0)
EXPERIMENT = "residual-mtl"
SERVICE_ACCOUNT = "rmtl"
SHOWN = 400
LOG_BYTES = 64 * 1024

_AGAIN = frozenset({429, 500, 502, 503, 504})


class OutageError(ServiceError):
    """The server does not answer, or not sensibly; asking again later may help."""


@dataclass(frozen=True)
class Server:
    """Settings of one server; the token is in no representation of it."""

    host: str
    namespace: str | None = None
    token: str | None = field(default=None, repr=False)
    experiment: str = EXPERIMENT
    ca: str | None = None
    service_account: str = SERVICE_ACCOUNT
    timeout_s: tuple[float, float] = PATIENT_S  # for connecting, and for each read of an answer


def read_server() -> Server:
    """Settings from the environment.

    Raises:
        ConfigError: a variable is missing or wrong; the message names it.
    """
    return Server(
        host=_host(),
        namespace=_variable("RMTL_KFP_NAMESPACE"),
        token=_token(),
        experiment=_variable("RMTL_KFP_EXPERIMENT") or EXPERIMENT,
        ca=_ca(),
        service_account=_variable("RMTL_KFP_SERVICE_ACCOUNT") or SERVICE_ACCOUNT,
    )


@dataclass(frozen=True)
class Connection:
    """A server that has answered, and kfp's client for it.

    The client's own convenience methods print, wait without limit and retry with tracebacks; its generated ones, called
    through `ask`, do none of that.
    """

    server: Server
    client: Any
    namespace: str

    def ask(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """One call, in bounded time.

        Raises:
            OutageError: no answer, or none of this API.
            ServiceError: the token is refused, or a login is asked for.
            ConfigError: the server understands the request and refuses it.
        """
        with _translated(self.server):
            return method(_request_timeout=self.server.timeout_s, **arguments)


def connect(server: Server) -> Connection:
    """Reach the server and find the namespace to work in.

    Raises:
        ConfigError: the server is for several users and no namespace is named.
        ServiceError: as `Connection.ask`.
    """
    with _translated(server), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client = _client(server)
        health = client.get_kfp_healthz()
    if health.multi_user is None:
        raise OutageError(f"{server.host}: no Kubeflow Pipelines API there (a login page?); {_ADVICE}")
    namespace = server.namespace or client.get_user_namespace()
    if health.multi_user and not namespace:
        raise ConfigError(f"{server.host} serves several users; set RMTL_KFP_NAMESPACE to your profile's namespace")
    return Connection(server, client, namespace if health.multi_user else "")


def present(answer: Any, name: str, server: Server) -> str:
    """A field that every answer of this API has.

    Raises:
        OutageError: it is missing.
    """
    value = getattr(answer, name, None)
    if not value:
        raise OutageError(f"{server.host}: an answer without {name}: not a Kubeflow Pipelines API; {_ADVICE}")
    return str(value)


_ADVICE = "check RMTL_KFP_HOST (as https://HOST/pipeline) and RMTL_KFP_TOKEN"


def _client(server: Server) -> Any:
    import kfp

    class Client(kfp.Client):  # type: ignore[misc]
        """Asks once and in bounded time where kfp's own asks five times and prints tracebacks."""

        def _load_config(self, *arguments: Any) -> Any:
            config = super()._load_config(*arguments)
            config.retries = 0
            return config

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            del sleep_duration
            return self._healthz_api.healthz_service_get_healthz(_request_timeout=server.timeout_s)

        def read_log(self, *, run_id: str, node_id: str, _request_timeout: tuple[float, float]) -> str:
            response = self._run_api.api_client.call_api(
                "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log",  # not among the generated methods
                "GET",
                path_params={"run_id": run_id, "node_id": node_id},
                auth_settings=["Bearer"],
                _preload_content=False,
                _request_timeout=_request_timeout,
            )
            tail = b""
            for chunk in response.stream(LOG_BYTES):
                tail = (tail + chunk)[-LOG_BYTES:]
            return tail.decode(errors="replace")

    return Client(
        host=server.host,
        namespace=server.namespace or "kubeflow",  # kfp's default; it means none
        existing_token=server.token,
        ssl_ca_cert=server.ca,
        ui_host=server.host,
    )


@contextmanager
def _translated(server: Server) -> Iterator[None]:
    """Failures of the client as ours; the server's words are shortened, and never hold the token."""
    from kfp_server_api.exceptions import ApiException, OpenApiException
    from urllib3.exceptions import HTTPError, MaxRetryError, ResponseError

    try:
        yield
    except ApiException as error:
        raise _refusal(server, error) from None
    except MaxRetryError as error:
        if isinstance(error.reason, ResponseError):
            raise ServiceError(f"{server.host}: leads to another page (a login?); {_ADVICE}") from None
        raise OutageError(f"{server.host}: no answer: {_shown(error.reason, server)}; {_ADVICE}") from None
    except HTTPError as error:
        raise OutageError(f"{server.host}: no answer: {_shown(error, server)}; {_ADVICE}") from None
    except (OpenApiException, ValueError, TypeError, AttributeError) as error:
        raise OutageError(f"{server.host}: an answer that cannot be read: {_shown(error, server)}; {_ADVICE}") from None


def _refusal(server: Server, error: Any) -> FaceError:
    answer = _parsed(error.body)
    text = _shown(answer.get("message") or answer.get("error_message") or error.reason or "no reason given", server)
    if error.status in (401, 403):
        return ServiceError(
            f"{server.host}: access refused ({error.status}): {text}; renew RMTL_KFP_TOKEN, check RMTL_KFP_NAMESPACE"
        )
    if not answer or error.status in _AGAIN or not error.status:
        return OutageError(f"{server.host}: answers {error.status}: {text}; {_ADVICE}")
    return ConfigError(f"{server.host} refuses the request: {text}")


def _parsed(body: Any) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (TypeError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _shown(words: Any, server: Server) -> str:
    text = " ".join(str(words).split())
    if server.token:
        text = text.replace(server.token, "***")
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _host() -> str:
    host = (_variable("RMTL_KFP_HOST") or "").rstrip("/")
    if not host:
        raise ConfigError("RMTL_KFP_HOST is not set; set it to the server, as https://kubeflow.example.com/pipeline")
    parts = urlparse(host)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("RMTL_KFP_HOST: need an address that begins with http:// or https://")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError("RMTL_KFP_HOST: need an address without user, query and #; the token goes to RMTL_KFP_TOKEN")
    return host


def _token() -> str | None:
    token = _variable("RMTL_KFP_TOKEN")
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError("RMTL_KFP_TOKEN: need one word without blanks; set the token alone, without `Bearer`")
    return token


def _ca() -> str | None:
    path = _variable("RMTL_KFP_CA")
    if path and not Path(path).is_file():
        raise ConfigError(f"RMTL_KFP_CA={path}: no such file; name the PEM file of the server's authority")
    return path


def _variable(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def main() -> int:
    """Tell whether the configured server answers and takes the token; returns the exit code."""
    try:
        connection = connect(replace(read_server(), timeout_s=QUICK_S))
        place = {"namespace": connection.namespace} if connection.namespace else {}
        connection.ask(connection.client.experiments.experiment_service_list_experiments, page_size=1, **place)
    except FaceError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(f"{connection.server.host} answers")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
