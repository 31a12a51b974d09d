"""Recurring runs: train again at fixed times, on the data that is newest then."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.errors import ConfigError
from pipelines.server import Connection, present
from pipelines.submit import Version, experiment_id, listed, source


@dataclass(frozen=True)
class Schedule:
    """A recurring run as the server has it."""

    schedule_id: str
    name: str
    cron: str
    data_version: str
    enabled: bool


def schedule(
    version: Version, arguments: Mapping[str, Any], *, name: str, cron: str, connection: Connection
) -> Schedule:
    """Start the pipeline at the times of `cron`, in the server's time zone (UTC by default).

    One run at a time, and no catching up on missed ones. Schedules of the same name in the experiment are removed once
    the new one exists, so that a failure leaves the former in place.

    Raises:
        ConfigError: `cron` has neither five nor six fields, or the server refuses it.
    """
    models, api = connection.client.api_models, connection.client.recurring_runs
    trigger = models.V2beta1Trigger(cron_schedule=models.V2beta1CronSchedule(cron=server_cron(cron)))
    former = [item for item in schedules(connection) if item.name == name]
    body = models.V2beta1RecurringRun(
        display_name=name,
        mode=models.RecurringRunMode.ENABLE,
        max_concurrency="1",
        no_catchup=True,
        trigger=trigger,
        **source(version, arguments, connection),
    )
    answer = connection.ask(api.recurring_run_service_create_recurring_run, recurring_run=body)
    present(answer, "recurring_run_id", connection.server)
    for item in former:
        _delete(item, connection)
    return _schedule(answer)


def schedules(connection: Connection) -> list[Schedule]:
    """Recurring runs of the configured experiment."""
    method = connection.client.recurring_runs.recurring_run_service_list_recurring_runs
    place = experiment_id(connection)
    return [_schedule(item) for item in listed(method, "recurring_runs", connection, experiment_id=place)]


def stop(name: str, connection: Connection) -> list[Schedule]:
    """Remove the schedules of this name; runs that they started go on.

    Raises:
        ConfigError: there is none; the message lists those that exist.
    """
    known = schedules(connection)
    found = [item for item in known if item.name == name]
    if not found:
        names = ", ".join(sorted({item.name for item in known})) or "none"
        raise ConfigError(f"{name}: no such schedule in experiment {connection.server.experiment}; it has: {names}")
    for item in found:
        _delete(item, connection)
    return found


def server_cron(text: str) -> str:
    """The six fields that the server reads, seconds first.

    Five fields, which the rest of the world writes, would pass there unnoticed with another meaning: minutes would be
    taken for seconds and hours for minutes.
    """
    fields = text.split()
    if len(fields) == 5:
        return " ".join(["0", *fields])
    if len(fields) == 6 or text.startswith("@"):
        return " ".join(fields)
    raise ConfigError(
        f"--cron {text!r}: need five fields (minute hour day month weekday, as '0 6 * * *'), or six with seconds first"
    )


def _schedule(item: Any) -> Schedule:
    trigger = item.trigger.cron_schedule if item.trigger else None
    parameters = (item.runtime_config.parameters if item.runtime_config else None) or {}
    return Schedule(
        schedule_id=item.recurring_run_id,
        name=item.display_name,
        cron=trigger.cron if trigger else "",
        data_version=str(parameters.get("data_version", "")),
        enabled=item.status == "ENABLED",
    )


def _delete(item: Schedule, connection: Connection) -> None:
    method = connection.client.recurring_runs.recurring_run_service_delete_recurring_run
    connection.ask(method, recurring_run_id=item.schedule_id)
