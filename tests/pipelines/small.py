"""A pipeline of three steps with a parameter of each type, for tests of submission."""

from pathlib import Path
from typing import Any

from kfp import compiler, dsl, kubernetes

STEPS = ["fetch", "train", "report"]
ARGUMENTS: dict[str, Any] = {
    "data_version": "0" * 32 + ".dir",
    "seed": 7,
    "share": 0.5,
    "strict": True,
    "rows": ["a"],
    "section": {"lr": 0.001},
}


@dsl.component(base_image="face:1.0", install_kfp_package=False)
def fetch(data_version: str) -> str:
    return data_version


@dsl.component(base_image="face:1.0", install_kfp_package=False)
def train(data: str, seed: int, share: float, strict: bool, rows: list, section: dict) -> None:  # type: ignore[type-arg]
    pass


@dsl.component(base_image="face:1.0", install_kfp_package=False)
def report() -> None:
    pass


@dsl.pipeline(name="small")
def small(  # noqa: PLR0917 - a parameter of each type
    data_version: str,
    seed: int,
    share: float,
    strict: bool,
    rows: list,  # type: ignore[type-arg]
    section: dict,  # type: ignore[type-arg]
    note: str = "none",
) -> None:
    with dsl.ExitHandler(report()):
        data = fetch(data_version=data_version).output
        trained = train(data=data, seed=seed, share=share, strict=strict, rows=rows, section=section)
        kubernetes.use_secret_as_env(trained, secret_name="rmtl-s3", secret_key_to_env={"KEY": "KEY"})


def package(folder: Path) -> Path:
    """The compiled pipeline."""
    path = folder / "small.yaml"
    compiler.Compiler().compile(small, str(path))
    return path
