"""Steps that must not count: without memory, or with a loss or gradient that is not finite."""

from model.net.norm import SyncedNorm
from model.train.distributed import TrainingError
from model.train.learner import Learner


def check_skippable(learner: Learner, error: Exception) -> None:
    """Refuse to skip a step for which the others wait in the middle of the pass, as they do where norms are shared.

    Raises:
        TrainingError: so it is.
    """
    team, progress = learner.team, learner.progress
    if team.world > 1 and any(isinstance(part, SyncedNorm) for part in learner.net.modules()):
        raise TrainingError(
            f"epoch {progress.epoch}, step {progress.step}: the batch does not fit into the memory of process "
            f"{team.rank} of {team.world}, which shares its norms with the others; lower train.batch_size"
        ) from error


def skip(learner: Learner, problem: str) -> None:
    """Count a step that changes nothing.

    Raises:
        TrainingError: it was one more than `max_bad_steps` in a row.
    """
    progress = learner.progress
    progress.bad_steps += 1
    # A forward pass may have spoilt running statistics; the average still holds the last good ones.
    learner.ema.restore_buffers()
    if progress.bad_steps > learner.config.max_bad_steps:
        raise TrainingError(
            f"epoch {progress.epoch}, step {progress.step}: {problem}, {progress.bad_steps} steps in a row on "
            f"{learner.team.world} process(es); the last checkpoint is sound: lower train.lr, or look at the faces"
        )
