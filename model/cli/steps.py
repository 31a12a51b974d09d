"""The steps that DVC runs, one command each."""

from pathlib import Path
from typing import Annotated, Any

import typer

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Overrides, Params, app, read_config, show
from model.config import Config
from model.errors import UnsoundSetError
from model.schema import to_json
from model.storage import alone_in


@app.command()
def index(params: Params = PARAMS_FILE, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """List every face of the configured benchmarks in artifacts/manifest.parquet.

    Example: rmtl index --set index.holdout=0.2
    """
    from model.data.index import build_index

    config = read_config(params, overrides)
    counts = build_index(config.index, data=workspace.DATA, out=workspace.ARTIFACTS, seed=config.seed)
    show(counts, as_json=as_json)


@app.command()
def validate(params: Params = PARAMS_FILE, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check the manifest by rule, move bad rows to quarantine, and write Data Docs.

    Example: rmtl validate --set validate.budget=0.02
    """
    from model.cli.validation import show_validation
    from model.data.validate import validate_manifest

    config = read_config(params, overrides)
    try:
        report = validate_manifest(
            config.validate_,
            manifest=workspace.MANIFEST,
            data=workspace.DATA,
            artifacts=workspace.ARTIFACTS,
            reports=workspace.REPORTS,
        )
    except UnsoundSetError as error:
        show_validation(error.report, as_json=as_json)
        raise
    show_validation(report, as_json=as_json)


@app.command()
def shard(params: Params = PARAMS_FILE, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Pack the valid faces into tar shards for the loader.

    Example: rmtl shard
    """
    from model.data.shards import write_shards

    config = read_config(params, overrides)
    written = write_shards(config.shard, manifest=workspace.VALID_MANIFEST, data=workspace.DATA, out=workspace.SHARDS)
    show(written if as_json else {**written["faces"], "data_digest": written["data_digest"]}, as_json=as_json)


@app.command()
def train(
    params: Params = PARAMS_FILE,
    overrides: Overrides = None,
    launcher: Annotated[str, typer.Option(help="step: this machine; trainjob: nodes of a cluster.")] = "step",
    nodes: Annotated[int, typer.Option(help="Nodes of a trainjob.")] = 1,
    processes: Annotated[int, typer.Option(help="Processes a node; 0: one a GPU, else one.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Train the network; goes on from artifacts/train/last where a run of the same configuration was cut off.

    The batch size is that of all nodes and processes together, so that weights do not depend on their number, but for
    what each process has of its own: the draws of train.net.dropout, train.augment.cutmix and train.augment.mixup, and
    the statistics of train.net.norm=batch.

    Example: rmtl train --set train.epochs=3 --processes 2
    """
    from model.data.faces import read_index
    from model.launch import launch_training, parse_topology
    from model.registry.tracking import open_log
    from model.train.checkpoint import drop_foreign, origin_of

    config = read_config(params, overrides)
    topology = parse_topology({"launcher": launcher, "nodes": nodes, "processes": processes})
    shards, out = workspace.SHARDS, workspace.TRAIN
    with alone_in(out):
        drop_foreign(out, origin_of(config.run, read_index(shards)))
        with open_log(config.register_.experiment, spool=out / "metrics.jsonl") as log:
            result = launch_training(config.run, shards=shards, out=out, topology=topology, log=log)
    show(to_json(result), as_json=as_json)


@app.command()
def evaluate(
    params: Params = PARAMS_FILE,
    overrides: Overrides = None,
    champion: Annotated[
        bool, typer.Option("--champion", help="Measure the champion beside them: artifacts/champion/.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the trained weights: reports/evaluation.json, plots, and one HTML page.

    Example: rmtl evaluate --set evaluate.bootstrap=2000
    """
    from model.evaluation.evaluate import evaluate as run_evaluation

    config = read_config(params, overrides)
    if champion:
        show(_evaluate_champion(config), as_json=as_json)
        return
    report = run_evaluation(
        config.evaluate,
        weights=workspace.TRAIN,
        manifest=workspace.VALID_MANIFEST,
        data=workspace.DATA,
        reports=workspace.REPORTS,
        predictions=workspace.PREDICTIONS,
        seed=config.seed,
    )
    show(to_json(report) if as_json else report.summary, as_json=as_json)


@app.command()
def register(
    params: Params = PARAMS_FILE,
    overrides: Overrides = None,
    champion_evaluation: Annotated[
        Path | None,
        typer.Option("--champion-evaluation", exists=True, help="Of `rmtl evaluate --champion`, after data changed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add the weights to the MLflow registry as `challenger` and judge them by the gate.

    Example: rmtl register --champion-evaluation artifacts/champion/evaluation.json
    """
    from model.registry.registry import register_version

    config = read_config(params, overrides)
    version = register_version(
        config.register_,
        weights=workspace.TRAIN,
        evaluation=workspace.EVALUATION,
        champion_evaluation=champion_evaluation,
        out=workspace.REGISTRATION,
    )
    show(to_json(version), as_json=as_json)


@app.command()
def package(params: Params = PARAMS_FILE, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Pack the weights into a TorchServe archive, open it and run it once.

    Example: rmtl package
    """
    from model.serving.archive import package as build_archive

    config = read_config(params, overrides)
    archive = build_archive(config.package, weights=workspace.TRAIN, out=workspace.ARTIFACTS)
    show({"archive": archive, "bytes": archive.stat().st_size}, as_json=as_json)


def _evaluate_champion(config: Config) -> dict[str, Any]:
    from model.registry.challenge import Faces, evaluate_champion

    return evaluate_champion(
        config.evaluate,
        config.register_.name,
        Faces(workspace.VALID_MANIFEST, workspace.DATA, config.seed),
        evaluation=workspace.EVALUATION,
        predictions=workspace.PREDICTIONS,
        out=workspace.CHAMPION,
    )
