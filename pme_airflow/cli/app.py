"""The command group, its logging, and how a command that fails ends."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from pme_airflow.cli import dev, fingerprint, flag, ledger, plan, scan, sweep
from pme_airflow.cli.output import fail

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


ledger.group.add_command(flag.flag_command)
main.add_command(ledger.group)
main.add_command(sweep.sweep_command)
main.add_command(scan.scan_command)
main.add_command(fingerprint.fingerprint_command)
main.add_command(plan.plan_command)
main.add_command(dev.emulator_command)
main.add_command(dev.demo_command)
main.add_command(dev.up_command)
