"""Who asks S3: keys, a web identity or a profile; and which settings to look at when that is refused."""

import re
from collections.abc import Mapping
from typing import Any

from model.errors import ConfigError

ASSUME = "AssumeRoleWithWebIdentity"
"""The request to STS that turns the token of a web identity into keys for an hour or so."""

WEB = "AWS_WEB_IDENTITY_TOKEN_FILE (the token) and AWS_ROLE_ARN"
KINDS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE"

_SETTINGS: Mapping[str, str] = {
    "ProfileNotFound": "AWS_PROFILE, AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE",
    "ConfigParseError": "AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE",
    "InvalidConfigError": WEB,
    "PartialCredentialsError": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "NoRegionError": "AWS_DEFAULT_REGION",
}
"""Errors of boto3 that no server has a part in, and where their cause is set."""

_ENDED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
"""A token of a web identity, which a server may repeat in its refusal."""


def new_session(bounds: Any) -> Any:
    """A boto3 session whose clients all have these bounds, also the one that asks STS for a web identity's keys.

    The first of these counts: keys in the environment, the role of a profile, a web identity, keys of a profile, the
    role of the machine.

    Args:
        bounds: a `botocore.config.Config`.
    """
    import boto3
    from botocore.session import get_session

    session = get_session()
    session.set_default_client_config(bounds)
    # A session of its own: the default one keeps the keys that it was first used with.
    return boto3.Session(botocore_session=session)


def refusal(error: Any) -> str:
    """What a refusal of the identity means, and where to look; empty where a `ClientError` means something else."""
    code = error.response.get("Error", {}).get("Code")
    if error.operation_name == ASSUME:
        return f"the web identity is refused; look at {WEB}: {_TOKEN.sub('(token)', str(error))}"
    if code in _ENDED:
        return f"the temporary keys have ended, or are another server's; renew {_origin()}: {error}"
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 403:
        return f"the keys are wrong or may not use it; look at {_origin()}: {error}"
    return ""


def wrong_setting(place: str, error: Exception) -> ConfigError | None:
    """The failure that `error` is where this machine's settings are at fault; None where a server has a part in it."""
    if isinstance(error, OSError):
        if error.filename is None:
            return None
        return ConfigError(f"{place}: {error.filename}: cannot be read ({error.strerror}); look at {WEB}")
    settings = _SETTINGS.get(type(error).__name__)
    return ConfigError(f"{place}: {error}; look at {settings}") if settings else None


def _origin() -> str:
    """The settings that the keys of this process come from."""
    import boto3

    session = boto3.Session()
    keys = session.get_credentials()
    match keys.method if keys else "none":
        case "none":
            return KINDS
        case "env":
            return f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY{' and AWS_SESSION_TOKEN' if keys.token else ''}"
        case "assume-role-with-web-identity":
            return WEB
        case "iam-role" | "container-role":
            return "the role of this machine"
        case _:
            return f"AWS_PROFILE={session.profile_name}"
