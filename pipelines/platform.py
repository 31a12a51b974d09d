"""What a cluster gives each step: secrets, settings, memory, accelerators, limits.

Names of objects in the namespace; their contents never pass through a pipeline.
"""

import os

from kfp import kubernetes
from kfp.dsl import PipelineConfig, PipelineTask

from model.environment import whole_number

LAUNCHER = "RMTL_TRAIN_LAUNCHER"
"""Variable read when a pipeline is compiled: `trainjob` where the step that trains only waits for a job."""
HOUR_S = 3600
USER = 10001

SETTINGS = "rmtl-settings"
SETTINGS_KEYS = (
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "MLFLOW_TRACKING_URI",
    "RMTL_COLLECTIVE_TIMEOUT_S",
    "RMTL_DATA_CACHE",
    "RMTL_HEARTBEAT_S",
    "RMTL_IMAGE",
    "RMTL_JOURNAL",
    "RMTL_KSERVE_NAMESPACE",
    "RMTL_LOG_LEVEL",
    "RMTL_SEARCH_GRACE_S",
    "RMTL_SERVE_IMAGE",
    "RMTL_SHARED",
    "RMTL_TRAIN_NAMESPACE",
    "RMTL_TRAIN_RESTARTS",
    "RMTL_TRAIN_RUNTIME",
    "RMTL_TRAIN_TIMEOUT_S",
    "RMTL_VERIFY_KEY",
)
SECRETS = {
    "rmtl-s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "rmtl-mlflow": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    "rmtl-search": ("RMTL_SEARCH_STORAGE",),
    "rmtl-endpoint": ("RMTL_ENDPOINT_TOKEN",),
    "rmtl-signing": ("RMTL_SIGNING_KEY",),
}
REGISTRY = ("rmtl-s3", "rmtl-mlflow")
"""Secrets of the steps that talk to MLflow, whose artifacts lie in a bucket."""

SHARED_CLAIM, SHARED_FOLDER = "rmtl-shared", "/shared"

# A cluster is kept clean of finished runs after a week; their artifacts stay.
CONFIG = PipelineConfig(ttl_seconds_after_finished=7 * 24 * HOUR_S, active_deadline_seconds=48 * HOUR_S)


def place(task: PipelineTask, *, secrets: tuple[str, ...] = ("rmtl-s3",), hours: int = 2) -> PipelineTask:
    """What every step has: settings, the secrets it needs, a scratch folder, a user without rights, a time limit."""
    kubernetes.use_config_map_as_env(task, SETTINGS, {key: key for key in SETTINGS_KEYS}, optional=True)
    for secret in secrets:
        kubernetes.use_secret_as_env(task, secret, {key: key for key in SECRETS[secret]}, optional=True)
    # The report finds the steps of its own run by this label.
    kubernetes.use_field_path_as_env(task, "RMTL_RUN", "metadata.labels['pipeline/runid']")
    kubernetes.empty_dir_mount(task, volume_name="scratch", mount_path="/tmp")
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    kubernetes.set_timeout(task, hours * HOUR_S)
    return task


def retried(task: PipelineTask) -> PipelineTask:
    """Try a step that talks to a service again; a failure by contract ends the retries at once (`components.step`)."""
    return task.set_retry(num_retries=2, backoff_duration="5s", backoff_factor=2.0, backoff_max_duration="60s")


def act(task: PipelineTask) -> PipelineTask:
    """A step whose effect lies outside its outputs: what it did before may have been undone since."""
    return task.set_caching_options(enable_caching=False)


def shared(task: PipelineTask) -> PipelineTask:
    """Mount the folder that several pods see."""
    return kubernetes.mount_pvc(task, pvc_name=SHARED_CLAIM, mount_path=SHARED_FOLDER)


def launched(task: PipelineTask) -> PipelineTask:
    """What the step that launches the training has; where it waits for a job no GPU, which the job might lack."""
    return accelerated(shared(place(task, hours=24)), gpus=0 if os.environ.get(LAUNCHER) == "trainjob" else None)


def accelerated(task: PipelineTask, *, gpus: int | None = None) -> PipelineTask:
    """Ask for GPUs (by default those of `RMTL_TRAIN_GPUS`), a node that has them, and memory that workers share.

    The number is fixed when the pipeline is compiled: kfp 2.17 loses a parameter that only the platform reads inside
    an exit handler.

    Raises:
        ConfigError: `RMTL_TRAIN_GPUS` is no number.
    """
    gpus = whole_number("RMTL_TRAIN_GPUS", 1, least=0) if gpus is None else gpus
    kubernetes.empty_dir_mount(task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit="4Gi")
    if gpus:
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus)
        kubernetes.add_node_selector(task, label_key="nvidia.com/gpu.present", label_value="true")
        kubernetes.add_toleration(task, key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")
    return task
