"""An issuer of web identities on this machine, and an S3 server's settings that trust it."""

import base64
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.object_proxy import serving
from model.identity import ASSUME

AUDIENCE = "rmtl"
ROLE = "arn:aws:iam::role/Faces"
_KEY_ID = "first"


class Issuer:
    """Signs tokens; its public key lies under `url` for as long as `run_issuer` lasts."""

    def __init__(self) -> None:
        self.url = ""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, *, life_s: float = 600, **claims: str) -> str:
        """A token (JWT, RS256) that ends in `life_s` seconds."""
        now = int(time.time())
        times = {"iat": now - 3600, "exp": int(now + life_s)}
        head = _encoded({"alg": "RS256", "typ": "JWT", "kid": _KEY_ID})
        body = _encoded({"iss": self.url, "sub": "pod", "aud": AUDIENCE, **times, **claims})
        signature = self._key.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), SHA256())
        return f"{head}.{body}.{_base64(signature)}"

    def keys(self) -> bytes:
        """The public key as a key set (JWKS)."""
        numbers = self._key.public_key().public_numbers()
        public = {"n": _base64(numbers.n.to_bytes(256, "big")), "e": _base64(numbers.e.to_bytes(3, "big"))}
        return json.dumps({"keys": [{"kty": "RSA", "kid": _KEY_ID, "use": "sig", "alg": "RS256", **public}]}).encode()


@contextmanager
def run_issuer() -> Iterator[Issuer]:
    """An issuer on a free port of 127.0.0.1."""
    issuer = Issuer()
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _handler(issuer))) as issuer.url:
        yield issuer


def roles(issuer: Issuer) -> dict[str, Any]:
    """SeaweedFS's settings for STS: whoever has a token of this issuer may take the role, which may do anything."""
    oidc = {"issuer": issuer.url, "clientId": AUDIENCE, "jwksUri": f"{issuer.url}/keys"}
    trust = {"Effect": "Allow", "Principal": {"Federated": "issuer"}, "Action": [f"sts:{ASSUME}"]}
    rights = [_allow("s3:*", "arn:aws:s3:::*", "arn:aws:s3:::*/*"), _allow("sts:ValidateSession", "*")]
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return {
        "sts": {"tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "sts", "signingKey": key},
        "providers": [{"name": "issuer", "type": "oidc", "enabled": True, "config": oidc}],
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "policies": [{"name": "Faces", "document": _document(*rights)}],
        "roles": [
            {"roleName": "Faces", "roleArn": ROLE, "trustPolicy": _document(trust), "attachedPolicies": ["Faces"]}
        ],
    }


def _allow(action: str, *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": [action], "Resource": list(resources)}


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _encoded(values: dict[str, Any]) -> str:
    return _base64(json.dumps(values).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = issuer.keys()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
