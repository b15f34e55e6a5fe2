"""The command that prints a shell's completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from pme_airflow.cli.output import fail, print_note, write

__all__ = ["completion_command"]

_NAME = "pme-airflow"
_VARIABLE = "_PME_AIRFLOW_COMPLETE"
_WHERE = {
    "bash": 'Put `eval "$(pme-airflow completion bash)"` into ~/.bashrc.',
    "zsh": 'Put `eval "$(pme-airflow completion zsh)"` into ~/.zshrc.',
    "fish": "Run `pme-airflow completion fish > ~/.config/fish/completions/pme-airflow.fish`.",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_WHERE)))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in a shell."""
    found = get_completion_class(shell)
    if found is None:
        fail(f"completion for {shell} is not known to this version of click. Upgrade click.")
    write(found(ctx.find_root().command, {}, _NAME, _VARIABLE).source() + "\n")
    print_note(_WHERE[shell])
