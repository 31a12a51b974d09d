"""Registration: weights and their evaluation become a version with a gate verdict and the alias `challenger`."""

import logging
import shutil
import tempfile
import time
from pathlib import Path

from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion as StoredVersion
from mlflow.exceptions import MlflowException

from model.config import RegisterConfig, flatten
from model.errors import CheckpointError, RegistryError
from model.evaluation.comparison import COMPARISON_FILE, read_comparison
from model.registry.card import CARD_FILE, render_card
from model.registry.client import Store, open_store
from model.registry.flavour import write_mlmodel
from model.registry.gate import Verdict, judge
from model.registry.origin import origin_tags, run_tag
from model.registry.promotion_log import PromotionLog
from model.registry.reports import (
    EVALUATION_TAG,
    comparison_place,
    keep_file,
    read_report,
    report_file,
    report_tag,
    stored_comparison,
    stored_report,
)
from model.registry.tracking import log_params, log_points, read_spool, start_run, sync_run
from model.registry.versions import (
    CHALLENGER,
    CHAMPION,
    DATA_TAG,
    GATE_TAG,
    IDENTITY_TAG,
    META_TAG,
    MODEL_TAG,
    WEIGHTS_TAG,
    identity,
)
from model.schema import INTENDED_USE, EvaluationReport, ModelVersion, to_json
from model.storage import digest_file, write_json
from model.weights import META_FILE, WEIGHTS_FILE, Meta, load_weights

SPOOL_FILE = "metrics.jsonl"
HISTORY_FILE = "history.csv"

_logger = logging.getLogger(__name__)


def register_version(
    config: RegisterConfig,
    *,
    weights: Path,
    evaluation: Path,
    out: Path,
    champion_evaluation: Path | None = None,
    data_version: str = "",
) -> ModelVersion:
    """Register weights once: the same weights give the same version, with the new evaluation added to it.

    The training's spool beside the weights is uploaded first; weights without one get a run of their own. A model card
    made from the evaluation is kept with the run. The gate's verdict is written to `out` and tagged, and does not fail
    the call. The champion's own version keeps its alias only.

    Args:
        champion_evaluation: the champion's evaluation on the same data, which is kept with the champion; a comparison
            beside it is kept with the new version. A path where nothing is stands for no champion.
        data_version: digest of the data version; by default that of data.dvc in this folder.

    Raises:
        RegistryError: weights or evaluation are missing, altered, or do not belong together.
        ServiceError: MLflow is out of reach; call again later.
    """
    meta, report = _read_inputs(weights, evaluation)
    origin = origin_tags(meta, weights, data_version=data_version)
    spool = _own_spool(weights, meta)
    with open_store() as store, store.locked("registry"):
        run_id = _run(store, config, spool, meta, origin)
        _ensure_model(store, config.name)
        version = _find(store, config.name, meta)
        if version is None:
            version = _create(store, config.name, run_id, weights, meta, origin)
        version = _add_evaluation(store, version, evaluation, report)
        _add_reports(store, run_id, spool, evaluation)
        store.client.log_text(run_id, render_card(meta, report), CARD_FILE)
        champion = store.client.get_registered_model(config.name).aliases.get(CHAMPION)
        itself = str(champion) == str(version.version)
        if champion_evaluation is not None and champion_evaluation.exists() and not itself:
            version = _add_opponent(store, version, champion, champion_evaluation)
        verdict = _judge(store, version, report, champion, config)
        store.client.set_model_version_tag(config.name, version.version, GATE_TAG, verdict.gate)
        if not itself:
            store.client.set_registered_model_alias(config.name, CHALLENGER, version.version)
    result = ModelVersion(
        name=config.name,
        version=str(version.version),
        run_id=str(version.run_id),
        weights_digest=meta.weights_digest,
        data_digest=meta.data_digest,
        gate=verdict.gate,
        reasons=verdict.reasons,
    )
    about = {"champion": champion, "notes": verdict.notes, "approval": list(config.gate.approval)}
    write_json(out, {**to_json(result), **about})
    return result


def _read_inputs(weights: Path, evaluation: Path) -> tuple[Meta, EvaluationReport]:
    try:
        _, meta = load_weights(weights)
    except CheckpointError as error:
        raise RegistryError(f"not registered: {error}") from error
    report = read_report(evaluation)
    if report.weights_digest != meta.weights_digest:
        raise RegistryError(
            f"{evaluation}: measured weights {report.weights_digest[:12]}, {weights} holds {meta.weights_digest[:12]}; "
            "run `rmtl evaluate` on these weights"
        )
    return meta, report


def _run(store: Store, config: RegisterConfig, spool: Path | None, meta: Meta, origin: dict[str, str]) -> str:
    run_id = sync_run(store, config.experiment, spool) if spool else ""
    if not run_id:
        run_id = start_run(store, config.experiment, identity(meta))
        store.client.set_terminated(run_id)
    log_params(store, run_id, flatten(meta.config))
    tags = {DATA_TAG: meta.data_digest, run_tag(meta): meta.data_digest, **origin}
    for name, value in tags.items():
        store.client.set_tag(run_id, name, value)
    return run_id


def _own_spool(weights: Path, meta: Meta) -> Path | None:
    """The spool beside the weights; None where a later training, with other settings, has begun to write it."""
    spool = weights / SPOOL_FILE
    found = read_spool(spool)
    if found.key and not found.tells_of(meta.config):
        _logger.warning("%s: of a training with other settings than the weights have; left out", spool)
        return None
    return spool


def _ensure_model(store: Store, name: str) -> None:
    try:
        store.client.create_registered_model(name, tags={"intended_use": INTENDED_USE})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    PromotionLog.open(store, name)


def _find(store: Store, name: str, meta: Meta) -> StoredVersion | None:
    query = f"name = '{name}' and tags.{IDENTITY_TAG} = '{identity(meta)}'"
    found = sorted(store.client.search_model_versions(query), key=lambda version: int(version.version))
    return found[0] if found else None


def _create(store: Store, name: str, run_id: str, weights: Path, meta: Meta, origin: dict[str, str]) -> StoredVersion:
    client = store.client
    experiment_id = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment_id, name=name, source_run_id=run_id, model_type="residual-mtl")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for file in (WEIGHTS_FILE, META_FILE):
            shutil.copyfile(weights / file, folder / file)
        write_mlmodel(folder, meta, logged)
        meta_digest = digest_file(folder / META_FILE)
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    # The tags come with the version in one call: a version without them is never loaded, however it came about.
    created = client.create_model_version(
        name,
        source=logged.artifact_location,
        run_id=run_id,
        model_id=logged.model_id,
        tags={**_tags(meta), **origin, META_TAG: meta_digest, MODEL_TAG: logged.model_id},
        description=INTENDED_USE,
    )
    first = _find(store, name, meta)
    if first is not None and first.version != created.version:
        client.delete_model_version(name, created.version)
        return first
    return created


def _tags(meta: Meta) -> dict[str, str]:
    return {
        IDENTITY_TAG: identity(meta),
        WEIGHTS_TAG: meta.weights_digest,
        DATA_TAG: meta.data_digest,
        "restricted": str(meta.restricted).lower(),
        "licence": "non-commercial" if meta.restricted else "as the project",
        "intended_use": INTENDED_USE,
    }


def _add_evaluation(store: Store, version: StoredVersion, evaluation: Path, report: EvaluationReport) -> StoredVersion:
    client, tag = store.client, report_tag(report.data_digest)
    if version.tags.get(tag) != digest_file(evaluation):
        # MLflow shows the latest; of points of one time the largest.
        now = time.time_ns() // 1_000_000
        points = [(name, 0, now, float(value)) for name, value in report.summary.items() if value is not None]
        log_points(store, str(version.run_id), points)
    keep_file(store, version, evaluation, report_file(report.data_digest), tag)
    client.set_model_version_tag(version.name, version.version, EVALUATION_TAG, report.data_digest)
    return client.get_model_version(version.name, version.version)


def _add_opponent(store: Store, version: StoredVersion, champion: str | None, evaluation: Path) -> StoredVersion:
    """Keep the champion's evaluation on the new data, which is not its latest one by that, and the comparison."""
    report = read_report(evaluation)
    former = store.client.get_model_version(version.name, champion) if champion is not None else None
    if former is None or former.tags.get(WEIGHTS_TAG) != report.weights_digest:
        raise RegistryError(
            f"{evaluation}: measured weights {report.weights_digest[:12]}, champion is {champion or 'none'} "
            f"({former.tags.get(WEIGHTS_TAG, '')[:12] if former else '-'}); run `rmtl evaluate --champion` again"
        )
    keep_file(store, former, evaluation, report_file(report.data_digest), report_tag(report.data_digest))
    comparison = evaluation.with_name(COMPARISON_FILE)
    if comparison.exists():
        where = comparison_place(read_comparison(comparison))
        keep_file(store, version, comparison, f"{where}.json", where)
    return store.client.get_model_version(version.name, version.version)


def _add_reports(store: Store, run_id: str, spool: Path | None, evaluation: Path) -> None:
    client, reports = store.client, evaluation.parent
    curves = [spool.with_name(HISTORY_FILE), spool] if spool else []
    for file in (evaluation.with_suffix(".html"), *curves):
        if file.is_file():
            client.log_artifact(run_id, str(file))
    if (reports / "plots").is_dir():
        client.log_artifacts(run_id, str(reports / "plots"), "plots")


def _judge(
    store: Store, version: StoredVersion, report: EvaluationReport, champion: str | None, config: RegisterConfig
) -> Verdict:
    if champion is None or str(champion) == str(version.version):
        return judge(report, None, config.gate)
    former = stored_report(store, store.client.get_model_version(config.name, champion), report.data_digest)
    return judge(report, former, config.gate, stored_comparison(store, version, former))
