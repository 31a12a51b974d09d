"""Starting a training: in this process, in several processes of this machine, or on nodes of a cluster."""

from pathlib import Path

from model.config import TrainRun
from model.launch.outcome import result_of
from model.launch.topology import ONE_PROCESS, Topology, parse_topology
from model.schema import TrainResult
from model.train.log import RunLog
from model.train.loop import train

__all__ = ["ONE_PROCESS", "Topology", "launch_training", "parse_topology"]


def launch_training(
    run: TrainRun, *, shards: Path, out: Path, topology: Topology, log: RunLog | None = None
) -> TrainResult:
    """Train as `topology` says; weights, checkpoint and spool are under `out` whichever way it is.

    Goes on from a checkpoint under `out`, and starts again from the last one where a process is lost
    (`RMTL_TRAIN_RESTARTS` times).

    Args:
        log: gets parameters and curves; from other processes through the spool, seconds later.

    Raises:
        ConfigError: an environment that the launcher cannot use.
        ServiceError: the cluster or the container engine is out of reach.
        FaceError: whatever ended the training; a failure of other processes is raised as the same class here.
    """
    if topology.launcher == "trainjob":
        from model.launch.trainjob import run_job

        run_job(run, shards=shards, out=out, topology=topology, log=log)
    elif topology.processes_here == 1:
        return train(run, shards=shards, out=out, log=log)
    else:
        from model.launch.step import run_processes

        run_processes(run, shards=shards, out=out, processes=topology.processes_here, log=log)
    return result_of(out)
