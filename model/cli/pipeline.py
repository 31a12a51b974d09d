"""`rmtl pipeline`: compile the pipelines, or run one on this machine.

`model` never imports `pipelines`; the command hands over to its program.
"""

import subprocess
import sys

import typer

from model.cli.app import app

group = typer.Typer(help="Kubeflow pipelines: compile, run here.", no_args_is_help=True)
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
    """Run the training pipeline with kfp's local runner; leaves artifacts/pipeline/<run>/evaluation.json.

    Example: rmtl pipeline run --runner subprocess
    """
    _hand_over("run", context)


def _hand_over(command: str, context: typer.Context) -> None:
    code = subprocess.run([sys.executable, "-m", "pipelines", command, *context.args], check=False).returncode
    raise typer.Exit(code)
