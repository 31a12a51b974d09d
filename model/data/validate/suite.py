"""Great Expectations: rules become suites, a table becomes outcomes, and its renderer writes the Data Docs."""

import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from model.data.validate.rules import Rule


class Outcome(NamedTuple):
    """What one rule found: the positions (column `row`) of the rows that break it."""

    rule: Rule
    passed: bool
    checked: int
    rows: tuple[int, ...]


class Suites:
    """Suites run in one ephemeral context, without any call home.

    Great Expectations is imported here and not above: it takes seconds.
    """

    def __init__(self, docs: Path) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        logging.getLogger("great_expectations").setLevel(logging.WARNING)
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        site = {
            "class_name": "SiteBuilder",
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            data_docs_sites={"data_docs": site},
            progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        )
        self._gx: Any = gx
        self._context: Any = gx.get_context(mode="ephemeral", project_config=config)
        self._source: Any = self._context.data_sources.add_pandas("manifest")

    def run(self, name: str, table: pd.DataFrame, rules: Sequence[Rule]) -> list[Outcome]:
        """Judge a table by rules, in their order, as the suite `name`."""
        gx = self._gx
        batch = self._source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        suite = self._context.suites.add(gx.ExpectationSuite(name))
        for rule in rules:
            suite.add_expectation(self._expectation(rule))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        checkpoint = gx.Checkpoint(
            name=name,
            validation_definitions=[self._context.validation_definitions.add(definition)],
            actions=[],
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]},
        )
        # The fixed time keeps the paths of the Data Docs the same from run to run.
        run_id = gx.RunIdentifier(run_name="validate", run_time=datetime(2000, 1, 1, tzinfo=UTC))
        runs = self._context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": table}, run_id=run_id)
        (result,) = runs.run_results.values()
        by_name = {item.expectation_config.meta["rule"]: item for item in result.results}
        return [_outcome(rule, by_name[rule.name], len(table)) for rule in rules]

    def _expectation(self, rule: Rule) -> Any:
        from great_expectations.expectations.row_conditions import Column

        arguments: dict[str, Any] = {
            **rule.arguments,
            "description": f"{rule.name}: {rule.demand}",
            "notes": [rule.purpose, f"If it fails: {rule.action}."],
            "meta": {"rule": rule.name, "kind": rule.kind},
        }
        if rule.where:
            column, value = rule.where
            arguments["row_condition"] = Column(column) == value
        return getattr(self._gx.expectations, rule.expectation)(**arguments)

    def write_docs(self) -> None:
        """Render what was run as HTML."""
        self._context.build_data_docs()


def _outcome(rule: Rule, item: Any, rows: int) -> Outcome:
    if not item.result:
        raise RuntimeError(f"rule {rule.name} could not be computed: {item.exception_info}")
    found = item.result.get("unexpected_index_list") or []
    checked = item.result.get("element_count", rows) - (item.result.get("missing_count") or 0)
    broken = sorted({int(entry["row"]) for entry in found})
    return Outcome(rule, bool(item.success), int(checked), tuple(broken))
