"""The command group, its logging, and how a command that fails ends."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from pme_airflow.cli.dev import demo_command, emulator_command, up_command
from pme_airflow.cli.fingerprint import fingerprint_command
from pme_airflow.cli.flag import flag_command
from pme_airflow.cli.ledger import group as ledger_group
from pme_airflow.cli.output import fail
from pme_airflow.cli.plan import plan_command
from pme_airflow.cli.scan import scan_command
from pme_airflow.cli.sweep import sweep_command

__all__ = ["main"]


class _Group(click.Group):
    """Reports errors in a line without a traceback, which could contain a secret."""

    def invoke(self, ctx: click.Context) -> Any:
        from pme_airflow.errors import PMEError

        message = ""
        try:
            return super().invoke(ctx)
        except PMEError as error:
            message = str(error)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(0)
        return fail(message)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log what is done.")
@click.version_option(package_name="pme-airflow")
def main(verbose: bool) -> None:
    """Matterport private-embed links as managed short-lived credentials."""
    level = logging.INFO if verbose else logging.ERROR
    logging.basicConfig(level=level, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)


ledger_group.add_command(flag_command)
for _command in (
    demo_command, emulator_command, fingerprint_command, ledger_group, plan_command, scan_command, sweep_command,
    up_command,
):  # fmt: skip
    main.add_command(_command)
