"""`pme-airflow wordpress-plugin`: the ZIP file, and nothing else, on standard output."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pme_airflow.cli import main
from pme_airflow.targets.wordpress_zip import plugin_zip


def test_the_zip_file_alone_is_written() -> None:
    done = CliRunner().invoke(main, ["wordpress-plugin"])
    assert done.exit_code == 0
    assert done.stdout_bytes == plugin_zip()


def test_a_terminal_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pme_airflow.cli.wordpress_plugin._shows_text", lambda: True)
    done = CliRunner().invoke(main, ["wordpress-plugin"])
    assert done.exit_code == 2
    assert "give > pme-embed.zip" in done.output
    assert b"PK" not in done.stdout_bytes
