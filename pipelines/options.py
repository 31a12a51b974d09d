"""Options that running, submitting and scheduling a pipeline share."""

import argparse
from pathlib import Path


def add_common(parser: argparse.ArgumentParser) -> None:
    """Which pipeline, with which values, on which processes."""
    parser.add_argument("--pipeline", choices=["training", "search", "ablation"], default="training")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="e.g. train.epochs=3")
    parser.add_argument("--launcher", choices=["step", "trainjob"], default="step")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--processes", type=int, default=0, help="a node; 0: one a GPU, else one")
    parser.add_argument("--workers", type=_at_least_one, default=2, help="of a search")
    parser.add_argument(
        "--rows", nargs="*", default=[], metavar="RECIPE", help="rows of an ablation: names in recipes/"
    )


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: need at least 1")
    return number
