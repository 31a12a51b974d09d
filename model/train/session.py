"""A training under way: the parts it is made of, and what it writes."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.config import TrainRun
from model.data.faces import read_index
from model.data.loader import FaceLoader, make_loader
from model.data.shards import read_points
from model.errors import CheckpointError
from model.net.multitask import MultiTaskNet, build_net, export_state
from model.schema import EXPRESSIONS, TrainResult
from model.train import checkpoint
from model.train.checkpoint import Origin, Progress
from model.train.distributed import Team
from model.train.learner import Learner
from model.train.log import RunLog
from model.train.losses import task_losses
from model.train.mean_shape import Points, mean_shape
from model.train.optim import Ema, load_optimizer_tensors, lr_at, make_optimizer, optimizer_tensors
from model.train.precision import computes_bf16
from model.train.speed import faces_at_the_limit
from model.train.spool import Spool
from model.train.start import take_over
from model.train.step import epoch_means
from model.train.validation import Held, score
from model.train.weighting import make_weighting
from model.weights import WEIGHTS_FILE, describe, git_revision, load_meta, save_weights

logger = logging.getLogger(__name__)

MEASURED = (("cuda", "bf16"),)
"""Devices and precisions whose limit is measured.

To count products takes a second, which short trainings on a CPU would feel; in fp32 a GPU rounds the factors of its
convolutions (TF32) and not those of a product, so that these would not compare.
"""


@dataclass
class Session:
    """What `train` works with; only the leading process writes.

    `limit` is how many faces a second one process could take in at the most, where that was measured.
    """

    run: TrainRun
    out: Path
    learner: Learner
    train: FaceLoader
    val: FaceLoader
    log: Spool
    shape_K2: Points
    origin: Origin
    start_digest: str
    limit: float | None

    def save_checkpoint(self) -> None:
        """Write all that a later call needs to go on from here; every process takes part.

        Running statistics of each process's own are averaged before: one set is kept, and all go on with it as they
        would after a resume.
        """
        learner = self.learner
        learner.team.average_buffers(learner.net)
        learner.ema.take_buffers()
        if not learner.team.leads:
            return
        tensors = checkpoint.pack(
            net=learner.net.state_dict(),
            ema=learner.ema.net.state_dict(),
            optimizer=optimizer_tensors(learner.optimizer),
            weighting=learner.weighting.state(),
            counts={"seen": learner.seen_E, "ema_updates": torch.tensor(learner.ema.updates)},
        )
        checkpoint.save(self.out, learner.progress, tensors, self.origin)

    def end_epoch(self, held: Held | None, *, faces_per_second: float) -> None:
        """Take note of a finished epoch: best weights, history, checkpoint."""
        learner, progress = self.learner, self.learner.progress
        means = epoch_means(progress.sums)
        learner.weighting.end_epoch(_task_means(learner, means))
        values = {
            "epoch": progress.epoch + 1,
            "train/lr": lr_at(learner.number - 1, self.run.train, learner.steps_per_epoch),
        }
        values |= {f"train/{name}": mean for name, mean in means.items()}
        if held is not None:
            values |= held.metrics
            self._judge(held)
        if faces_per_second > 0:
            values["train/faces_per_second"] = faces_per_second
            if self.limit is not None:
                values["train/share_of_device"] = faces_per_second / learner.team.world / self.limit
        progress.epoch, progress.step, progress.sums = progress.epoch + 1, 0, {}
        self.log.metrics(values, learner.number)
        self.log.epoch(values)
        self.save_checkpoint()

    def result(self) -> TrainResult:
        """Where the kept weights are.

        Raises:
            CheckpointError: no epoch has been kept, or its weights are gone.
        """
        progress = self.learner.progress
        if progress.best_epoch < 0:
            raise CheckpointError(f"{self.out}: no epoch was validated, so there are no weights; raise train.epochs")
        self.learner.team.any(False)
        if not (self.out / WEIGHTS_FILE).is_file():
            raise CheckpointError(
                f"{self.out}: the training is finished and its weights are gone; delete {self.out / checkpoint.FOLDER} "
                "to train anew"
            )
        return TrainResult(
            weights=str(self.out / WEIGHTS_FILE),
            weights_digest=load_meta(self.out).weights_digest,
            data_digest=self.origin.data_digest,
            epoch=progress.best_epoch,
            metrics=progress.best_metrics,
        )

    def _judge(self, held: Held) -> None:
        """Start the transfer losses when the map has proved itself; keep the weights when they are the best so far."""
        progress, config = self.learner.progress, self.run.train.association
        progress.transfer_margin = held.map_margin
        if progress.transfer_since < 0 and held.map_f1 >= held.chance_f1 + config.start_margin:
            progress.transfer_since = progress.epoch + 1
        value = score(held.metrics)
        if progress.best_epoch >= 0 and value <= progress.best_score:
            return
        progress.best_epoch, progress.best_score, progress.best_metrics = progress.epoch, value, held.metrics
        if self.learner.team.leads:
            meta = describe(
                self.run,
                mean_shape=tuple((float(x), float(y)) for x, y in self.shape_K2),
                data_digest=self.origin.data_digest,
                restricted=self.train.restricted,
                temperature=held.temperature,
                metrics=held.metrics,
            )
            meta = meta.model_copy(update={"start_digest": self.start_digest})
            save_weights(self.out, export_state(self.learner.ema.net), meta)


def open_session(run: TrainRun, *, shards: Path, out: Path, log: RunLog, team: Team) -> Session:
    """Build every part, then go on from the checkpoint under `out` if there is one."""
    # Asked before the first step: a commit made while the training runs is not the one that runs.
    git_revision()
    train = make_loader(shards, "train", run.train, training=True, rank=team.rank, world=team.world, seed=run.seed)
    val = make_loader(shards, "val", run.train, training=False, rank=team.rank, world=team.world, seed=run.seed)
    shape_K2 = mean_shape(*read_points(shards, "train", run.train.net.crop_scale))
    net = build_net(run.train.net, run.train.association, mean_shape_K2=shape_K2, seed=run.seed)
    start_digest = take_over(net, Path(run.train.start_from)) if run.train.start_from else ""
    learner = _learner(run, net, len(train), team)
    origin = checkpoint.origin_of(run, read_index(shards))
    spool = Spool(out, log, active=team.leads)
    measured = (team.device.type, run.train.precision) in MEASURED
    limit = faces_at_the_limit(run.train, team.device) if measured else None
    session = Session(run, out, learner, train, val, spool, shape_K2, origin, start_digest, limit)
    found = checkpoint.load(out, origin)
    if found is not None:
        _restore(learner, *found)
        logger.info("%s: going on in epoch %d after step %d", out, learner.progress.epoch, learner.progress.step)
    _check_common_folder(learner, out)
    spool.restart(learner.number, learner.progress.epoch)
    return session


def _learner(run: TrainRun, net: MultiTaskNet, steps_per_epoch: int, team: Team) -> Learner:
    settings = run.train
    if settings.precision == "bf16" and team.leads and not computes_bf16(team.device.type):
        logger.warning("train.precision: this %s has no bf16 arithmetic; computing in fp32", team.device.type)
    net.to(team.device)
    if settings.channels_last:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weighting = make_weighting(settings.loss, team.device)
    return Learner(
        config=settings,
        seed=run.seed,
        team=team,
        net=net,
        ema=Ema(net, settings.ema_decay),
        weighting=weighting,
        optimizer=make_optimizer(net, settings, weighting.parameters()),
        progress=Progress(),
        steps_per_epoch=steps_per_epoch,
        seen_E=torch.ones(len(EXPRESSIONS), dtype=torch.float64, device=team.device),
    )


def _check_common_folder(learner: Learner, out: Path) -> None:
    """Processes that start at different steps would wait for one another for good."""
    own = torch.tensor([[learner.number]], device=learner.team.device)
    if len(set(learner.team.gather_rows(own).flatten().tolist())) > 1:
        raise CheckpointError(f"{out}: not all processes find the same checkpoint there; give a folder that all share")


def _restore(learner: Learner, progress: Progress, tensors: dict[str, Tensor]) -> None:
    learner.progress = progress
    learner.net.load_state_dict(checkpoint.unpack(tensors, "net"))
    learner.ema.net.load_state_dict(checkpoint.unpack(tensors, "ema"))
    load_optimizer_tensors(learner.optimizer, checkpoint.unpack(tensors, "optimizer"))
    learner.weighting.load(checkpoint.unpack(tensors, "weighting"))
    counts = checkpoint.unpack(tensors, "counts")
    learner.seen_E.copy_(counts["seen"])
    learner.ema.updates = int(counts["ema_updates"])


def _task_means(learner: Learner, means: dict[str, float]) -> dict[str, float]:
    """Mean loss of each task over the epoch."""
    tensors = {name: torch.tensor(mean) for name, mean in means.items()}
    return {task: float(loss) for task, loss in task_losses(tensors, learner.config.loss).items()}
