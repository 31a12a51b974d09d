"""How a training is spread: which launcher, how many nodes, how many processes on each."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator

from model.config import parse_section
from model.config.base import Count, Section


class Topology(Section):
    """A parameter of the pipeline and of `rmtl train`; weights do not depend on it, so params.yaml does not hold it.

    `step` runs in the step itself, on one node; `trainjob` asks Kubeflow Trainer for the nodes. `processes` is per
    node; 0 means one a GPU, or one where there is none.
    """

    launcher: Literal["step", "trainjob"]
    nodes: Count
    processes: Annotated[int, Field(ge=0)]

    @field_validator("nodes")
    @classmethod
    def _step_is_one_node(cls, nodes: int, info: ValidationInfo) -> int:
        if info.data.get("launcher") == "step" and nodes > 1:
            raise ValueError("launcher step has one node only; choose trainjob for more")
        return nodes

    @property
    def processes_here(self) -> int:
        """Processes on a node like this machine."""
        return self.processes or torch.cuda.device_count() or 1


ONE_PROCESS = Topology(launcher="step", nodes=1, processes=1)


def parse_topology(values: Mapping[str, Any]) -> Topology:
    """A topology from plain values.

    Raises:
        ConfigError: every problem with its dotted name, one a line.
    """
    return parse_section(Topology, values, name="topology")
