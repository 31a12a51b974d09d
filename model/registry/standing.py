"""Whether what was registered or promoted before still stands in the registry."""

from model.errors import RegistryError
from model.registry.client import Store, open_store
from model.registry.versions import CHALLENGER, CHAMPION, WEIGHTS_TAG, resolve


def is_registered(name: str, version: str, *, weights_digest: str, judged_against: str | None) -> bool:
    """Whether the version has these weights, is challenger or champion, and is judged as it would be now.

    That is: the champion is the one that it was judged against, or itself.

    Raises:
        ServiceError: MLflow is out of reach.
    """
    with open_store() as store:
        champion, challenger = (_version(store, f"models:/{name}@{alias}") for alias in (CHAMPION, CHALLENGER))
        found = _version(store, f"models:/{name}/{version}")
    judged = champion is None or champion[0] in (judged_against, version)
    return judged and found == (version, weights_digest) and found in (challenger, champion)


def champion_weights(name: str) -> str | None:
    """Digest of the champion's weights; None where there is no champion.

    Raises:
        ServiceError: MLflow is out of reach.
    """
    with open_store() as store:
        found = _version(store, f"models:/{name}@{CHAMPION}")
    return found[1] if found else None


def is_champion(name: str, version: str, *, weights_digest: str) -> bool:
    """Whether the version with these weights is champion now.

    Raises:
        ServiceError: MLflow is out of reach.
    """
    with open_store() as store:
        return _version(store, f"models:/{name}@{CHAMPION}") == (version, weights_digest)


def _version(store: Store, uri: str) -> tuple[str, str] | None:
    """Number and weights of the version behind an address."""
    try:
        found = resolve(store, uri)
    except RegistryError:
        return None
    return str(found.version), str(found.tags.get(WEIGHTS_TAG))
