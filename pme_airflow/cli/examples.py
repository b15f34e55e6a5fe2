"""Examples of each command, which ``--help`` prints."""

from __future__ import annotations

import click

__all__ = ["add_examples"]

_EXAMPLES = {
    "completion": ["completion bash"],
    "demo": ["demo --keep"],
    "doctor": ["doctor", "doctor --only connection --format json", "doctor --mint yyHDFKzPzvN"],
    "emulator": ["emulator --port 8799 --fault throttled=0.1"],
    "fingerprint": ["fingerprint < leaked.txt"],
    "init": ["init ~/airflow/dags"],
    "ledger export": ["ledger export --format csv --output audit.csv"],
    "ledger flag": [
        "ledger flag --stdin --sweep --reason 'pasted in a chat' < leaked.txt",
        "ledger flag --model yyHDFKzPzvN --dry-run",
        "ledger flag --model - --sweep < views.txt",
    ],
    "ledger list": ["ledger list --state live --audience intranet", "ledger list --limit 1 --format json"],
    "ledger migrate": ["ledger migrate"],
    "ledger purge": ["ledger purge --older-than 90d --dry-run"],
    "ledger reseal": ["ledger reseal"],
    "ledger show": ["ledger show yyHDFKzPzvN"],
    "plan": ["plan placements.yaml"],
    "retire": ["retire --model yyHDFKzPzvN --dry-run", "retire --unnamed --reason 'sold'"],
    "scan": ["scan --sweep ./checkout backup.tar.gz", "scan --format sarif s3://my-bucket/logs"],
    "status": ["status", "status --format json"],
    "sweep": ["sweep", "sweep --dry-run"],
    "up": ["up --port 8080"],
    "wordpress-move": ["wordpress-move --dry-run", "wordpress-move placements.yaml"],
    "wordpress-plugin": ["wordpress-plugin"],
}


def add_examples(group: click.Group, path: str = "") -> None:
    """Add the examples to a group's commands."""
    for name, command in group.commands.items():
        whole = f"{path}{name}"
        if isinstance(command, click.Group):
            add_examples(command, f"{whole} ")
        elif whole in _EXAMPLES:
            lines = "\n".join(f"  pme-airflow {example}" for example in _EXAMPLES[whole])
            command.epilog = f"\b\nExamples:\n{lines}"
