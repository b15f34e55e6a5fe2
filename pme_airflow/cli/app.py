"""The command group, and how a command ends: 0 if all was done, 1 if a promise was not kept, 2 if nothing could be."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import click

from pme_airflow.cli.completion import completion_command
from pme_airflow.cli.dev import demo_command, emulator_command, up_command
from pme_airflow.cli.doctor import doctor_command
from pme_airflow.cli.examples import add_examples
from pme_airflow.cli.fingerprint import fingerprint_command
from pme_airflow.cli.flag import flag_command
from pme_airflow.cli.init import init_command
from pme_airflow.cli.ledger import group as ledger_group
from pme_airflow.cli.logs import logging_to_stderr
from pme_airflow.cli.output import OutputClosedError, fail, flush, print_note
from pme_airflow.cli.plan import plan_command
from pme_airflow.cli.retire import retire_command
from pme_airflow.cli.scan import scan_command
from pme_airflow.cli.status import status_command
from pme_airflow.cli.sweep import sweep_command
from pme_airflow.cli.wordpress_move import wordpress_move_command
from pme_airflow.cli.wordpress_plugin import wordpress_plugin_command
from pme_airflow.model_ids import is_model_id

__all__ = ["main"]

#: Exit status of an interrupted command, as a shell reports a program that SIGINT ended.
_INTERRUPTED_STATUS = 130
_TOKEN_IN_ARGUMENT = (
    "An argument contains what looks like an access token. Arguments are shown to every user of this machine and kept "
    "in the shell's history: consider the token leaked, and give it on standard input instead, to `pme-airflow ledger "
    "flag --stdin --sweep`; `pme-airflow fingerprint` prints the fingerprint of a token on standard input, which is "
    "safe as an argument. If it is the id of a View, `pme-airflow ledger list --model` takes it, and `pme-airflow "
    "ledger flag --model -` on standard input."
)


_MODEL_OPTIONS = frozenset({"--exclude", "--mint", "--model"})


class _Group(click.Group):
    """Refuses tokens among the arguments, and reports errors in a line without a traceback."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments.

        :raises UsageError: if one contains a token; it is not echoed.
        """
        checked = args if "flag" in args else _without_model_ids(args)  # who flags a leak may well paste its token
        if any(_has_token(argument) for argument in checked):
            raise click.UsageError(_TOKEN_IN_ARGUMENT)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return self._invoke(ctx)
        except OutputClosedError as error:
            _discard_output()
            return fail(str(error), error.exit_status)
        except KeyboardInterrupt:
            return fail("interrupted. What was recorded in the ledger stays so; run it again.", _INTERRUPTED_STATUS)

    def _invoke(self, ctx: click.Context) -> Any:
        from pme_airflow.errors import PMEError

        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, OutputClosedError):
            raise
        except PMEError as error:
            message = str(error)
        except Exception as error:  # noqa: BLE001 - its text may hold a secret, so its type alone is shown
            message = f"unexpected {type(error).__name__}. This is a defect; run it again with --verbose to see where."
            _log_frames(error)
        finally:
            flush()
        return fail(message)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log what is done.")
@click.version_option(package_name="pme-airflow")
@click.pass_context
def main(ctx: click.Context, verbose: bool) -> None:
    """Matterport private-embed links as managed short-lived credentials."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    ctx.with_resource(logging_to_stderr(verbose=verbose))
    _check_installation()


def _check_installation() -> None:
    from pme_airflow.supported_versions import airflow_problem, installation_problem, python_problem

    problem = airflow_problem()
    if problem:
        fail(problem)
    for problem in filter(None, (installation_problem(), python_problem())):
        print_note(f"pme-airflow: {problem}")


def _without_model_ids(args: list[str]) -> Iterator[str]:
    """Yield arguments without the ids that follow an option for models: the id of a View looks like a token."""
    before = ""
    for argument in args:
        name, separator, value = argument.partition("=")
        given = value if separator else argument
        if not ((name if separator else before) in _MODEL_OPTIONS and is_model_id(given)):
            yield argument
        before = argument


def _has_token(argument: str) -> bool:
    from pme_airflow.leaks.encodings import redact

    return redact(argument) != argument


def _discard_output() -> None:
    """Close standard output, so that the interpreter does not fail to flush it at its end."""
    try:
        sys.stdout.close()
    except (OSError, AttributeError):
        sys.stdout = None


def _log_frames(error: Exception) -> None:
    if logging.getLogger().isEnabledFor(logging.INFO):
        for frame in traceback.extract_tb(error.__traceback__):
            print_note(f"{frame.filename}:{frame.lineno} in {frame.name}")


def _add(group: click.Group, commands: Sequence[click.Command]) -> None:
    for command in commands:
        group.add_command(command)


_add(ledger_group, [flag_command])
_add(main, [status_command])
_add(main, [ledger_group, sweep_command, scan_command, fingerprint_command, plan_command, retire_command])
_add(main, [init_command, doctor_command, emulator_command, demo_command, up_command])
_add(main, [wordpress_plugin_command, wordpress_move_command, completion_command])
add_examples(main)
