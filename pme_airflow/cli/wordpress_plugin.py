"""The command that writes the WordPress plugin."""

from __future__ import annotations

import sys

import click

from pme_airflow.cli.output import write_bytes

__all__ = ["wordpress_plugin_command"]


@click.command("wordpress-plugin")
def wordpress_plugin_command() -> None:
    """Write the WordPress plugin pme-embed to standard output, as the ZIP file that WordPress installs:

    \b
        pme-airflow wordpress-plugin > pme-embed.zip

    With the plugin no link is in a page, a revision, a feed, an export or a cache.
    """
    from pme_airflow.targets.wordpress_zip import plugin_zip

    if _shows_text():
        raise click.UsageError("A ZIP file is nothing to read: give > pme-embed.zip, and upload that file.")
    write_bytes(plugin_zip())


def _shows_text() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()
