"""Opened links are masked in the log, however many there are."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from pme_airflow.hooks import log_masking
from pme_airflow.hooks.log_masking import LinkMasks
from pme_airflow.sealing import OpenedLink
from pme_airflow.secrets import AccessToken, SecretStr


@pytest.fixture
def log_output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the root logger's handler writes, with Airflow's own masking out of the way."""
    monkeypatch.setattr(log_masking, "mask_secret", lambda _: None)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def link(number: int) -> OpenedLink:
    token = f"token{number:020d}"
    return OpenedLink(SecretStr(f"https://my.matterport.com/show?m=x&auth=Bearer+{token}"), AccessToken(token))


def test_every_link_of_many_is_masked_and_nothing_else(log_output: io.StringIO) -> None:
    masks = LinkMasks()
    for number in range(1000):
        masks.add(link(number))
    log = logging.getLogger("careless.target")
    log.warning("shown: %s", link(999).url.reveal())
    log.warning("header: Bearer %s and %s", link(1).token.reveal(), link(1001).token.reveal())
    written = log_output.getvalue()
    assert link(999).token.reveal() not in written
    assert link(1).token.reveal() not in written
    assert link(1001).token.reveal() in written
    assert "https://my.matterport.com/show?m=x&auth=Bearer+***" in written


def test_airflow_masks_the_first_few_links_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(log_masking, "mask_secret", masked.append)
    masks = LinkMasks()
    for number in [*range(200), *range(200)]:
        masks.add(link(number))
    assert len(masked) == 2 * 50
