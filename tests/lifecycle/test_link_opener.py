"""Sealed links are opened as targets show them: with the model's name and the placement's parameters."""

from __future__ import annotations

from typing import Any

import pytest

from pme_airflow.embed_params import EmbedParams
from pme_airflow.lifecycle.link_opener import LinkOpener, on_one_line
from pme_airflow.sealing import OpenedLink
from pme_airflow.secrets import AccessToken, SecretStr

ITEM = {"link_id": "lnk_1", "model_id": "M1", "audience": "intranet", "valid_until": "2026-11-27T02:00:00Z"}


def opened(item: Any) -> OpenedLink:
    return OpenedLink(SecretStr("https://my.matterport.com/show?m=M1"), AccessToken("t" * 25))


@pytest.fixture
def opener() -> LinkOpener:
    made = LinkOpener(opened, EmbedParams.parse("play=1", "params"))
    made.names = {"M1": "Hall\n one"}
    return made


def test_a_new_link_has_the_models_name_and_the_placements_parameters(opener: LinkOpener) -> None:
    link = opener.open(ITEM)
    assert (link.name, link.params) == ("Hall one", "play=1")
    assert link.url.reveal() == "https://my.matterport.com/show?m=M1&play=1"


def test_a_link_that_stays_has_those_of_its_slot(opener: LinkOpener) -> None:
    link = opener.open_again(ITEM, {"name": "Foyer", "params": "qs=1"})
    assert (link.name, link.params) == ("Foyer", "qs=1")
    assert link.url.reveal() == "https://my.matterport.com/show?m=M1&qs=1"
    bare = opener.open_again(ITEM, {})
    assert (bare.name, bare.params, bare.url.reveal()) == ("M1", "", "https://my.matterport.com/show?m=M1")


@pytest.mark.parametrize(
    ("name", "shown"), [("a\tb\u202ec ", "a bc"), ("x" * 130, "x" * 120), ("", ""), ("\x00\n", "")]
)
def test_names_are_cut_to_one_line(name: str, shown: str) -> None:
    assert on_one_line(name) == shown
