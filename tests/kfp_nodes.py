"""The nodes of a run as Argo names them and the KFP API server hands them out: `run_details.task_details`."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.kfp_requests import now

EPOCH = "1970-01-01T00:00:00Z"
WORKFLOW = "residual-mtl-x7k2p"
UNSETTLED = ("PENDING", "RUNNING")


@dataclass(frozen=True)
class Frame:
    """One picture of a run: its state, and the states of its tasks by name."""

    state: str
    tasks: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def details(run: Mapping[str, Any], frame: Frame) -> list[dict[str, Any]]:
    """The workflow, its root, and for each task a driver, a group and what executes it; `NAME-driver` is that alone."""
    begun = [name for name, state in frame.tasks.items() if state != "PENDING"]
    nodes = [_node(run, WORKFLOW, frame.state, ["root-driver", "root"])]
    nodes += [_node(run, "root-driver", "SUCCEEDED"), _node(run, "root", frame.state, begun)]
    for name, state in frame.tasks.items():
        if name.endswith("-driver"):
            nodes.append(_node(run, name, state))
            continue
        nodes.append(_node(run, f"{name}-driver", "RUNNING" if state == "PENDING" else "SUCCEEDED"))
        nodes += [_node(run, name, state, [node_of(name)]), _node(run, "executor", state)]
    return nodes


def node_of(task: str) -> str:
    """The node whose pod executes a task."""
    return f"{WORKFLOW}-{uuid.uuid5(uuid.NAMESPACE_OID, task).int % 10**10}"


def _node(run: Mapping[str, Any], name: str, state: str, children: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "run_id": run["run_id"],
        "task_id": str(uuid.uuid4()),
        "display_name": name,
        "create_time": run["created_at"],
        "start_time": EPOCH if state == "PENDING" else run["created_at"],
        "end_time": EPOCH if state in UNSETTLED else now(),
        "state": state,
        "execution_id": "0",
        "error": None,
        "state_history": [{"update_time": now(), "state": state, "error": None}],
        "pod_name": "",
        "child_tasks": [{"task_id": "", "pod_name": child} for child in children],
    }


def step_log(code: int, words: str = "validate: 12 of 100 rows over budget") -> str:
    """What a pod leaves: our last words, the launcher's, and those of Argo's executor, which always says 1."""
    return (
        f"INFO model.train: began\nerror: {words}\n"
        f"F1124 11:32:42.058914      42 main.go:58] failed to execute component: exit status {code}\n"
        'time="2026-11-24T11:32:43.100Z" level=info msg="sub-process exited" argo=true error="<nil>"\n'
        "Error: exit status 1\n"
    )
