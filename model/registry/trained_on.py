"""Which data the versions of the registry were trained on."""

import tempfile
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion as StoredVersion
from mlflow.exceptions import MlflowException

from model.data.contents import UNREADABLE, Trained
from model.errors import CheckpointError
from model.registry.client import Store, open_store, tracking_uri
from model.registry.versions import DATA_TAG, META_TAG, WEIGHTS_TAG, all_versions, name_of
from model.storage import digest_file
from model.weights import META_FILE, load_meta


def trained_versions() -> dict[str, Trained]:
    """Every version that `rmtl register` made, of any model, by its address; nothing where there is no registry yet.

    Raises:
        ServiceError: MLflow is out of reach.
    """
    uri = tracking_uri()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return {}
    with open_store() as store:
        return {
            name_of(version): _trained(store, version) for version in all_versions(store) if DATA_TAG in version.tags
        }


def _trained(store: Store, version: StoredVersion) -> Trained:
    tags = version.tags
    return Trained("model version", tags[DATA_TAG], tags.get(WEIGHTS_TAG, ""), _start(store, version))


def _start(store: Store, version: StoredVersion) -> str:
    """The weights that its training began from, empty where it began anew."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            path = store.download(str(version.source), META_FILE, Path(scratch))
            altered = digest_file(path) != version.tags.get(META_TAG)
            return UNREADABLE if altered else load_meta(path.parent).start_digest
        except (OSError, MlflowException, CheckpointError):
            return UNREADABLE
