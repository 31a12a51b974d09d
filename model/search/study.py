"""An Optuna study over the loss weights: held-out NME down, held-out macro-F1 up, never the weighted loss."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from model.config import SearchConfig, TrainRun
from model.data.faces import read_index
from model.errors import ConfigError
from model.search.pick import SearchResult, summarise
from model.search.places import Places
from model.search.pruning import make_pruner
from model.search.sampling import DrawSampler
from model.search.storage import StudyStorage, open_storage, reached
from model.search.training import Job, directions_of
from model.search.worker import Worker
from model.source import training_digest
from model.storage import digest_bytes
from model.train.checkpoint import config_digest, shards_digest

logger = logging.getLogger(__name__)

DIGEST = "digest"
CODE = "code"


def search(run: TrainRun, config: SearchConfig, *, shards: Path, folder: Path, processes: int = 1) -> SearchResult:
    """Run trials until `search.trials` of the study are finished; a study of the same name is resumed.

    Several processes, here and elsewhere, may call this on the same study at once. A trial whose process dies is failed
    and taken up again: at once by a worker that sees its lock, else after `RMTL_SEARCH_GRACE_S`. A trial whose losses
    do not stay finite counts as failed; the search gives up after `search.trials` of those. A database that is away is
    waited for, and what was trained meanwhile is told when it is back.

    Args:
        processes: how many train one trial together.

    Raises:
        ConfigError: a wrong space, a study of the same name made with other settings or data, or a missing driver.
        FaceError: no trial came to its end.
        ServiceError: the study's storage cannot be used.
        TerminatedError: SIGTERM; the same call goes on from there.
    """
    job = Job(run, config, shards, Places(folder, config.study), processes)
    job.check()
    storage = open_storage(job.places)
    with reached(job.places):
        study = create_study(job, storage)
        Worker(job, study, storage).work()
        return summarise(study, config)


def create_study(job: Job, storage: StudyStorage) -> optuna.Study:
    """The study of a job, made on first use.

    Raises:
        ConfigError: it was made with other settings or other data.
    """
    study = optuna.create_study(
        study_name=job.config.study,
        storage=storage,
        pruner=make_pruner(job.config, job.run_of({}).train.epochs),
        directions=directions_of(job.config),
        load_if_exists=True,
    )
    study.sampler = DrawSampler(study, job.config, seed=job.run.seed, hand_set=job.hand_set())
    digest = digest_of(job)
    found = study.user_attrs.get(DIGEST)
    if found is None:
        study.set_user_attr(DIGEST, digest)
    elif found != digest:
        raise ConfigError(
            f"search.study: {job.config.study} was made with other settings or data ({found}, now {digest}); "
            "give the new search another name"
        )
    _see_code(study)
    return study


def _see_code(study: optuna.Study) -> None:
    """Note the training code that a study began with; tell where another goes on with it."""
    code, found = training_digest()[:12], study.user_attrs.get(CODE)
    if found is None:
        study.set_user_attr(CODE, "unknown" if study.get_trials(deepcopy=False) else code)
    elif found != code:
        logger.warning(
            "search.study: %s was begun by other training code (%s, now %s): trials before and after may not compare; "
            "give a new search another name",
            study.study_name,
            found,
            code,
        )


def load_study(config: SearchConfig, folder: Path) -> optuna.Study:
    """A study that is there, for reading and for the judge of a trial.

    Raises:
        ConfigError: there is none of this name.
        ServiceError: the storage cannot be used.
    """
    places = Places(folder, config.study)
    storage = open_storage(places)
    with reached(places):
        try:
            return optuna.load_study(study_name=config.study, storage=storage)
        except KeyError as error:
            raise ConfigError(f"search.study: no study {config.study} yet; run `rmtl search`") from error


def digest_of(job: Job) -> str:
    """Digest of the study that a job belongs to."""
    return study_digest(job.run, job.config, read_index(job.shards))


def study_digest(run: TrainRun, config: SearchConfig, index: Mapping[str, Any], *, code: str = "") -> str:
    """Names what decides the outcome of a trial, so that other settings, start weights or data are another study.

    Args:
        index: `index.json` of the shards, which names their data.
        code: digest of the training code, for a study that is not to go on under other code.
    """
    parts = [run.model_dump(mode="json"), config.deciding(), shards_digest(index)]
    if code:
        parts.append(code)
    if run.train.start_from:
        parts.append(config_digest(run))
    return digest_bytes(json.dumps(parts, sort_keys=True).encode())[:12]
