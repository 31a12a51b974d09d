"""TrainJobs of Kubeflow Trainer, on Kubernetes or on a container engine; the one module that imports its SDK."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from kubeflow.trainer import (
    ContainerBackendConfig,
    CustomTrainer,
    CustomTrainerContainer,
    KubernetesBackendConfig,
    TrainerClient,
    TrainingRuntimeSource,
)
from kubeflow.trainer.options import ActiveDeadlineSeconds, Labels, Name, TrainerArgs, TrainerCommand
from kubernetes.client import ApiException
from kubernetes.config import ConfigException

from model.errors import ConfigError, ServiceError
from model.launch.settings import JobSettings
from model.launch.shared import JobFolder, kept

Status = Literal["Created", "Running", "Complete", "Failed", "Unknown"]

LABELS = {"app.kubernetes.io/name": "residual-mtl", "app.kubernetes.io/component": "train"}
# The container backend mounts this folder of its own, and no other.
CONTAINER_SHARED = Path("/workspace")
CONTAINER_FOLDERS = Path(".kubeflow/trainer/containers")


@dataclass(frozen=True)
class JobSpec:
    """What a job is made of; `arguments` are those of `python -m model.train`, `env` holds no secret."""

    name: str
    nodes: int
    processes: int
    arguments: list[str]
    env: dict[str, str]


class JobClient:
    """The few calls that a launcher needs; every failure of the service is a `ServiceError`."""

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings
        with _reporting("connect"):
            self._client = TrainerClient(_backend(settings))

    def node_folder(self, folder: Path) -> Path:
        """Where the nodes find a job's folder on the shared storage."""
        return CONTAINER_SHARED if self._settings.backend == "container" else folder

    def status(self, name: str) -> Status | None:
        """None where there is no such job."""
        try:
            with _reporting(f"look at job {name}"):
                return cast("Status", self._client.get_job(name).status)
        except _AbsentError:
            return None

    def failed_nodes(self, name: str) -> list[str]:
        """Names of the nodes that ended badly, as `node-1`; none where the job is gone."""
        try:
            with _reporting(f"look at job {name}"):
                return [step.name for step in self._client.get_job(name).steps if step.status == "Failed"]
        except _AbsentError:
            return []

    def create(self, spec: JobSpec, folder: JobFolder) -> None:
        """Start the job; one of the same name that is there already is joined.

        Raises:
            ConfigError: no such runtime or image.
        """
        with _reporting(f"create job {spec.name}"):
            runtime = self._runtime()
            if self._settings.backend == "container":
                with _as_work_folder(folder, spec.name), kept(folder.out):
                    trainer = _for_containers(spec, self._settings)
                    self._client.train(runtime, trainer=trainer, options=[Name(spec.name)])
                return
            own_image = CustomTrainerContainer(image=self._settings.image, num_nodes=spec.nodes, env=spec.env)
            options = [Name(spec.name), Labels(LABELS), ActiveDeadlineSeconds(self._settings.timeout_s)]
            options += [TrainerCommand(["python", "-m", "model.launch.node"]), TrainerArgs(_node_arguments(spec))]
            try:
                self._client.train(runtime, trainer=own_image, options=options)
            except RuntimeError as error:
                if not (isinstance(error.__cause__, ApiException) and error.__cause__.status == 409):
                    raise

    def delete(self, name: str) -> None:
        """Ask for the end of a job; one that is not there is fine."""
        try:
            with _reporting(f"delete job {name}"):
                self._client.delete_job(name)
        except _AbsentError:
            return

    def lines(self, name: str, *, node: int = 0, follow: bool = False) -> Iterator[str]:
        """Pieces of what a node prints; it ends early where the node has not begun or the job is gone."""
        whole = self._settings.backend == "container"
        with suppress(_AbsentError), _reporting(f"read the log of job {name}"):
            for piece in self._client.get_job_logs(name, step=f"node-{node}", follow=follow):
                yield piece if piece.endswith("\n") or whole else f"{piece}\n"

    def _runtime(self) -> Any:
        name = self._settings.runtime
        try:
            return self._client.get_runtime(name)
        except ValueError as error:
            raise ConfigError(f"RMTL_TRAIN_RUNTIME={name}: not in {self._settings.runtimes}") from error
        except RuntimeError as error:
            if isinstance(error.__cause__, ApiException) and error.__cause__.status == 404:
                raise ConfigError(
                    f"RMTL_TRAIN_RUNTIME={name}: the cluster has no such runtime; kubectl apply -k deploy/train"
                ) from error
            raise


class _AbsentError(Exception):
    """There is no such job."""


@contextmanager
def _reporting(act: str) -> Iterator[None]:
    """The SDK wraps whatever goes wrong in RuntimeError; its cause tells what it was."""
    try:
        yield
    except ConfigException as error:
        raise ConfigError(f"cannot {act}: no access to a cluster is configured ({error}); set KUBECONFIG") from error
    except (RuntimeError, ValueError, TimeoutError, OSError) as error:
        cause = error.__cause__
        if str(error).startswith("No TrainJob") or (isinstance(cause, ApiException) and cause.status == 404):
            raise _AbsentError from error
        if "not found locally" in str(error):
            raise ConfigError(f"cannot {act}: {error}; set RMTL_IMAGE, or build it: make images") from error
        detail = f"{cause.status} {cause.reason}" if isinstance(cause, ApiException) else cause or ""
        raise ServiceError(f"cannot {act}: {str(error).splitlines()[0]} {detail}".rstrip()) from error


def _backend(settings: JobSettings) -> KubernetesBackendConfig | ContainerBackendConfig:
    if settings.backend == "kubernetes":
        return KubernetesBackendConfig(namespace=settings.namespace)
    source = TrainingRuntimeSource(sources=[str(settings.runtimes)])
    return ContainerBackendConfig(pull_policy="Never", auto_remove=False, runtime_source=source)


def _node_arguments(spec: JobSpec) -> list[str]:
    return [f"--processes={spec.processes}", "--", *spec.arguments]


def _for_containers(spec: JobSpec, settings: JobSettings) -> CustomTrainer:
    """The container backend takes a function only, and as many processes a node as it is told of GPUs."""
    return CustomTrainer(
        func=_train_on_node,
        func_args={"arguments": spec.arguments},
        image=settings.image,
        num_nodes=spec.nodes,
        resources_per_node={"gpu": spec.processes} if spec.processes > 1 else None,
        env=spec.env,
    )


def _train_on_node(arguments: list[str]) -> None:
    # Its source alone reaches the node, where torchrun runs it: it has to stand by itself.
    import sys

    from model.train.__main__ import main

    sys.exit(main(arguments))


@contextmanager
def _as_work_folder(folder: JobFolder, name: str) -> Iterator[None]:
    """Let the folder that the container backend makes for a job be ours: it mounts where the link leads."""
    link = Path.home() / CONTAINER_FOLDERS / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(folder.path, target_is_directory=True)
    try:
        yield
    finally:
        link.unlink(missing_ok=True)
