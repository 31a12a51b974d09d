"""Training as a function: configuration and shards in, weights and a history out.

One process or many (torchrun), from the beginning or from where a former call was stopped.
"""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from model.config import TrainRun, flatten
from model.data.loader import watched_workers
from model.schema import TrainResult
from model.train.distributed import compute_threads, join, tuned_kernels
from model.train.interrupt import Notice, TerminatedError, on_sigterm
from model.train.learner import on_device
from model.train.log import NullLog, RunLog
from model.train.optim import lr_at
from model.train.session import Session, open_session
from model.train.step import epoch_means, train_step
from model.train.validation import Held, validate

logger = logging.getLogger(__name__)

Stop = Callable[[int, Mapping[str, float]], bool]

# Steps between two lines of the spool.
LOG_EVERY = 20


def never(_epoch: int, _metrics: Mapping[str, float]) -> bool:
    """Train to the end."""
    return False


def train(run: TrainRun, *, shards: Path, out: Path, log: RunLog | None = None, stop: Stop = never) -> TrainResult:
    """Train until `train.epochs`, keep the best epoch's weights under `out`, and be ready to go on after any end.

    Args:
        stop: asked after each validation, on the leading process, with epoch and metrics; when it says yes all
            processes stop after that epoch. A later call goes on from there.

    Raises:
        CheckpointError: `out/last` belongs to another configuration or other data.
        DataContractError: no shards, or an empty split.
        FaceError: a loader process died.
        TerminatedError: SIGTERM; the checkpoint is written.
        TrainingError: losses stay non-finite, or another process is gone.
    """
    with (
        join() as team,
        watched_workers(),
        compute_threads(run.train.threads),
        tuned_kernels(team.device),
        on_sigterm() as notice,
    ):
        session = open_session(run, shards=shards, out=out, log=log or NullLog(), team=team)
        session.log.params(flatten(run.model_dump(mode="json")))
        progress = session.learner.progress
        while progress.epoch < run.train.epochs:
            speed = _train_epoch(session, notice)
            held = _validate_if_due(session, notice)
            session.end_epoch(held, faces_per_second=speed)
            if held is not None and team.any(team.leads and stop(progress.epoch - 1, held.metrics)):
                break
        return session.result()


def _train_epoch(session: Session, notice: Notice) -> float:
    """The steps of an epoch that are still to do, and how many faces a second they took in."""
    learner, config = session.learner, session.run.train
    began, first = time.monotonic(), learner.progress.step
    learner.net.train()
    session.train.set_epoch(learner.progress.epoch, first=first)
    with _progress_bar(session) as bar:
        for batch in session.train:
            leave = train_step(learner, on_device(batch, learner.team.device), leave=notice.given)
            means = epoch_means(learner.progress.sums)
            bar.update(config.batch_size)
            if learner.progress.step % LOG_EVERY == 0:
                bar.set_postfix({name: f"{means[name]:.3f}" for name in ("landmarks", "expression") if name in means})
                lr = lr_at(learner.number - 1, config, learner.steps_per_epoch)
                session.log.metrics({"train/lr": lr} | _prefixed(means), learner.number)
            if leave:
                _leave(session)
            if config.checkpoint_every and learner.progress.step % config.checkpoint_every == 0:
                session.save_checkpoint()
    return (learner.progress.step - first) * config.batch_size / (time.monotonic() - began)


def _validate_if_due(session: Session, notice: Notice) -> Held | None:
    """Held-out metrics every `val_every` epochs, and of the last epoch in any case."""
    done = session.learner.progress.epoch + 1
    if done % session.run.train.val_every and done != session.run.train.epochs:
        return None
    held = validate(session.learner, session.val, notice)
    if held is None:
        _leave(session)
    return held


def _leave(session: Session) -> NoReturn:
    session.save_checkpoint()
    # Nobody leaves before the leader has written: torchrun ends the others as soon as one is gone.
    session.learner.team.any(False)
    progress = session.learner.progress
    raise TerminatedError(
        f"{session.out}: asked to end in epoch {progress.epoch} after step {progress.step}; the checkpoint is written, "
        "the same command goes on from there"
    )


def _progress_bar(session: Session) -> "tqdm[NoReturn]":
    learner, config = session.learner, session.run.train
    return tqdm(
        desc=f"epoch {learner.progress.epoch + 1}/{config.epochs}",
        total=learner.steps_per_epoch * config.batch_size,
        initial=learner.progress.step * config.batch_size,
        unit="face",
        disable=None if learner.team.leads else True,
    )


def _prefixed(means: Mapping[str, float]) -> dict[str, float]:
    return {f"train/{name}": value for name, value in means.items()}
