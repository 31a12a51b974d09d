"""S3: one client with bounded tries, and what its failures mean, in words that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

from model.errors import ServiceError, StorageError
from model.identity import ASSUME, KINDS, new_session, refusal, wrong_setting

TRIES = 4
CONNECT_S = 5
READ_S = 15

SKEW_S = 300
"""A refusal by a server whose clock differs by more seconds is put down to the clock; S3 itself allows 900."""

_OF_CLOCK = {"RequestTimeTooSkewed", "RequestExpired"}
_BUSY = {"SlowDown", "ServiceUnavailable", "503", "Throttling", "RequestLimitExceeded"}


@cache
def s3_client() -> Any:
    """A boto3 client; endpoint and identity come from the usual AWS variables and the files that they name."""
    from botocore.config import Config

    retries = {"total_max_attempts": TRIES, "mode": "standard"}
    return new_session(Config(retries=retries, connect_timeout=CONNECT_S, read_timeout=READ_S)).client("s3")


def read_object(address: str) -> bytes:
    """The bytes of `s3://bucket/key`.

    Raises:
        StorageError: no such object; the address is wrong, the server is not.
        ServiceError: the server is away, overloaded, or refuses: every other address would fail as this one did.
        ConfigError: the settings of identity or region are wrong.
    """
    from botocore.exceptions import ClientError, ParamValidationError

    bucket, _, key = address.removeprefix("s3://").partition("/")
    with reached(address):
        try:
            body: bytes = s3_client().get_object(Bucket=bucket, Key=key)["Body"].read()
        except ParamValidationError as error:
            raise StorageError(f"{address}: no address of an object, which is s3://bucket/key: {error}") from error
        except ClientError as error:
            if error.response["Error"].get("Code") == "NoSuchKey":
                raise StorageError(f"{address}: cannot be fetched: {error}") from error
            raise
    return body


def probe(place: str) -> None:
    """Ask for one name below `s3://bucket/prefix`.

    Raises:
        ServiceError: the server does not answer, or refuses.
        ConfigError: the settings of identity or region are wrong.
    """
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    with reached(place):
        s3_client().list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)


@contextmanager
def reached(place: str) -> Iterator[None]:
    """Turn failures of boto3 inside the block into one of ours that names `place` and the remedy.

    Raises:
        ServiceError: S3 or STS does not answer, or refuses.
        ConfigError: the settings of identity or region are wrong.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        raise ServiceError(f"{place}: {_meaning(error)} (see `rmtl doctor`)") from error
    except NoCredentialsError as error:
        raise ServiceError(f"{place}: no keys: set {KINDS}") from error
    except (BotoCoreError, OSError) as error:
        if wrong := wrong_setting(place, error):
            raise wrong from error
        raise ServiceError(f"{place}: cannot be reached: {error}; see `rmtl doctor`") from error


def _meaning(error: Any) -> str:
    """What a refusal means; not every server says that the clock is why, so status and the server's clock count too."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    about = error.response.get("ResponseMetadata", {})
    status, offset = about.get("HTTPStatusCode"), _offset_s(about.get("HTTPHeaders", {}).get("date", ""))
    if code in _BUSY or status == 503:
        return f"the server asked to slow down and did so in {TRIES} tries; wait, then run the same again ({error})"
    # STS looks at the token's own times: what it refuses is not put down to the clock.
    if error.operation_name != ASSUME and (code in _OF_CLOCK or (status == 403 and abs(offset) > SKEW_S)):
        direction = "behind" if offset < 0 else "ahead of"
        return (
            f"refused, as the clock of this machine is {abs(offset) / 60:.0f} minutes {direction} the server's; "
            f"set it by NTP (`timedatectl set-ntp true`) and try again ({error})"
        )
    if code == "NoSuchBucket":
        return f"no such bucket; make it or correct the address ({error})"
    return refusal(error) or str(error)


def _offset_s(date: str) -> float:
    """Seconds that this machine's clock is ahead of an answer's `Date`; 0 where that is not readable."""
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return 0.0
