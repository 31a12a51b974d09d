"""`rmtl pipeline`: compile the pipelines, run one here, submit one to a Kubeflow server.

`model` never imports `pipelines`; the command hands over to its program.
"""

import signal
import subprocess
import sys

import typer

from model.cli.app import app

group = typer.Typer(help="Kubeflow pipelines: compile, run here, submit, schedule.", no_args_is_help=True)
app.add_typer(group, name="pipeline")

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@group.command(context_settings=PASS_ON, name="compile")
def compile_pipelines(context: typer.Context) -> None:
    """Write the pipelines as YAML.

    Example: rmtl pipeline compile
    """
    _hand_over("compile", context)


@group.command(context_settings=PASS_ON)
def run(context: typer.Context) -> None:
    """Run a pipeline with kfp's local runner; leaves artifacts/pipeline/<run>/evaluation.json.

    Example: rmtl pipeline run --runner subprocess
    """
    _hand_over("run", context)


@group.command(context_settings=PASS_ON)
def submit(context: typer.Context) -> None:
    """Run a pipeline on the server that RMTL_KFP_HOST names; with --wait the exit code is the outcome.

    Example: rmtl pipeline submit --remote s3://bucket/face --wait
    """
    _hand_over("submit", context)


@group.command(context_settings=PASS_ON)
def follow(context: typer.Context) -> None:
    """Follow a run that was submitted; the exit code is its outcome.

    Example: rmtl pipeline follow RUN_ID
    """
    _hand_over("follow", context)


@group.command(context_settings=PASS_ON)
def schedule(context: typer.Context) -> None:
    """Run a pipeline at fixed times, each time with the newest data of a branch.

    Example: rmtl pipeline schedule --cron "0 6 * * *" --data-version main
    """
    _hand_over("schedule", context)


@group.command(context_settings=PASS_ON)
def schedules(context: typer.Context) -> None:
    """List the schedules, or stop one.

    Example: rmtl pipeline schedules --stop residual-mtl-training
    """
    _hand_over("schedules", context)


def _hand_over(command: str, context: typer.Context) -> None:
    """End with the program's exit code; whoever ends this process ends the program."""
    with subprocess.Popen([sys.executable, "-m", "pipelines", command, *context.args]) as child:
        former = signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
        try:
            code = _outcome(child)
        finally:
            signal.signal(signal.SIGTERM, former)
    raise typer.Exit(code if code >= 0 else 128 - code)


def _outcome(child: "subprocess.Popen[bytes]") -> int:
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # the terminal told the child as well, which says what it leaves behind
