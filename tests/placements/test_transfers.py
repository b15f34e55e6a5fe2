"""Each kind of target gets its transfer, with what the placement says."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pme_airflow.placements import PLACEMENT_DAGS, check, transfer_for

BASE = {"audience": "intranet", "pme_conn_id": "pme_other", "models": ["yyHDFKzPzvN"], "allow_clearing": True}
TARGETS: list[dict[str, Any]] = [
    {"kind": "object_storage", "path": "s3://bucket/a", "conn_id": "aws", "storage_options": {"ACL": "private"}},
    {"kind": "slack", "channel": "#tours", "slack_conn_id": "slack"},
    {"kind": "wordpress", "pages": {"yyHDFKzPzvN": 42}, "type": "posts"},
    {"kind": "http", "endpoint": "items/{model_id}", "json": {"url": "{link}"}, "method": "PUT", "timeout": 5},
    {"kind": "custom", "class": "a.b.C", "options": {"x": 1}},
]
OPERATORS = {
    "object_storage": "PMEToObjectStorageOperator",
    "slack": "PMEToSlackOperator",
    "wordpress": "PMEToWordPressOperator",
    "http": "PMEToHttpOperator",
    "custom": "PMEToCustomTargetOperator",
}
RENAMED = {"type": "kind", "class": "target_class"}


@pytest.mark.parametrize("options", TARGETS, ids=lambda options: str(options["kind"]))
def test_a_transfer_has_every_option_of_its_target(options: dict[str, Any]) -> None:
    (placement,) = check(yaml.safe_dump({**BASE, "targets": [options]}))
    (target,) = placement.targets
    transfer = transfer_for(placement, target, [{"link_id": "x"}], retries=7)
    assert type(transfer).__name__ == OPERATORS[options["kind"]]
    assert transfer.task_id == target.task_id == f"publish_intranet_0_{options['kind']}"
    for name, value in options.items():
        if name != "kind":
            attribute = {"json": "json"}.get(name, RENAMED.get(name, name))
            assert getattr(transfer, attribute, value) == value
    assert transfer.links == [{"link_id": "x"}]
    assert (transfer.models, transfer.audience) == (["yyHDFKzPzvN"], "intranet")
    assert (transfer.pme_conn_id, transfer.retries) == ("pme_other", 7)
    assert (tuple(transfer.publishers), transfer.allow_clearing) == (PLACEMENT_DAGS, True)


def test_a_transfer_has_the_parameters_of_the_placements_links() -> None:
    (placement,) = check(yaml.safe_dump({**BASE, "params": "play=1", "targets": [TARGETS[1]]}))
    assert transfer_for(placement, placement.targets[0], []).link_params == {"*": {"play": "1"}}
    (plain,) = check(yaml.safe_dump({**BASE, "targets": [TARGETS[1]]}))
    assert transfer_for(plain, plain.targets[0], []).link_params is None


def test_a_query_clears_what_the_account_lists_no_more() -> None:
    (placement,) = check(yaml.safe_dump({**BASE, "models": {"query": "*"}, "targets": [TARGETS[1]]}))
    assert transfer_for(placement, placement.targets[0], []).models is None
