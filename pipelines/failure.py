"""Why a run on a server failed, and with which exit code.

The server tells neither (kubeflow/pipelines issue 14007), and the launcher in the pod ends with 1 whatever the step
ended with. What is asked, in this order: the journal of the run, where `RMTL_JOURNAL` names the same place here as in
the settings of the cluster; the logs of the pods, with the last words of the step and its code as the launcher saw it;
the server's own words.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.journal import PLACE, Entry, Journal
from model.errors import ConfigError, DataContractError, FaceError, GateError, ServiceError
from pipelines.server import Connection
from pipelines.submit import run_url

SHOWN = 500

_ERRORS: Mapping[int, type[FaceError]] = {
    error.exit_code: error for error in (ConfigError, DataContractError, GateError, ServiceError)
}


def failure_of(run: Any, failed: Sequence[str], connection: Connection) -> FaceError:
    """The failure of a run that has ended, of the class whose exit code the first failed step had."""
    url = run_url(run.run_id, connection)
    if run.state in ("CANCELED", "SKIPPED"):
        return FaceError(f"the run was {'cancelled' if run.state == 'CANCELED' else 'skipped'}: {url}")
    entry = _journaled(run.run_id)
    if entry:
        code, reason = entry.exit_code, f"{entry.step}: {entry.message}"
    else:
        words = "\n".join([*_logs(run, failed, connection), *_messages(run)])
        code, reason = exit_code(words), last_words(words)
    place = f" at {', '.join(failed)}" if failed else ""
    return _ERRORS.get(code, FaceError)(f"the run failed{place}{reason and ': '}{reason[:SHOWN]}; {url}")


def exit_code(words: str) -> int:
    """The exit code of the step in a log or in the server's words; 1 where they tell none of ours."""
    codes = [int(code) for code in re.findall(r"exit(?:ed with)? (?:status|code)[: ]+(\d+)", words)]
    return next((code for code in reversed(codes) if code in _ERRORS), 1)


def last_words(words: str) -> str:
    """The line in which a step says why it failed, else the one in which the launcher or the server does."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    found = [line for line in lines if "failed to execute" in line]
    return next((texts[-1] for texts in (said, found, lines) if texts), "")


def details_of(run: Any) -> list[Any]:
    """The nodes of a run."""
    return [item for item in (run.run_details.task_details if run.run_details else None) or () if item]


def _journaled(run_id: str) -> Entry | None:
    """The first step whose last try failed; none where there is no journal to be read from here."""
    place = os.environ.get(PLACE, "").rstrip("/")
    if not place:
        return None
    try:
        entries = Journal(f"{place}/{run_id}").entries()
    except (FaceError, OSError, ValueError, TypeError):
        return None  # it only makes the message better
    last = {(entry.step, entry.key): entry for entry in entries}
    return next((entry for entry in last.values() if entry.exit_code), None)


def _messages(run: Any) -> Iterator[str]:
    for holder in (*details_of(run), run):
        for error in (holder.error, *(status.error for status in holder.state_history or ())):
            if error and error.message:
                yield error.message


def _logs(run: Any, failed: Sequence[str], connection: Connection) -> Iterator[str]:
    """What the pods of the failed tasks wrote; nothing where the server has no logs any more."""
    nodes = [item for item in details_of(run) if item.display_name in failed]
    for pod in [child.pod_name for node in nodes for child in node.child_tasks or () if child.pod_name]:
        try:
            yield connection.ask(connection.client.read_log, run_id=run.run_id, node_id=pod)
        except FaceError:
            continue
