from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pme_airflow.errors import PMEInputError, PMESealError
from pme_airflow.sealing import OpenedLink, Sealer, fingerprint, is_fingerprint
from pme_airflow.secrets import AccessToken, SecretStr

SECRET = SecretStr("client secret of the connection")
KEYS = [SecretStr(f"seal key number {n} of some length") for n in range(3)]
LINK = OpenedLink(SecretStr("https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+abc"), AccessToken("abc"))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_is_opened_whole(url: str, token: str) -> None:
    sealer = Sealer.of_connection(SECRET)
    opened = sealer.open(sealer.seal(OpenedLink(SecretStr(url), AccessToken(token)), "lnk_1", "m"), "lnk_1", "m")
    assert (opened.url.reveal(), opened.token.reveal()) == (url, token)


def test_the_same_link_is_never_sealed_the_same_way_twice() -> None:
    sealer = Sealer.of_connection(SECRET)
    assert sealer.seal(LINK, "lnk_1", "m") != sealer.seal(LINK, "lnk_1", "m")


@pytest.mark.parametrize(("link_id", "model_id"), [("lnk_2", "m"), ("lnk_1", "n")])
def test_sealed_text_cannot_be_put_in_anothers_place(link_id: str, model_id: str) -> None:
    sealer = Sealer.of_connection(SECRET)
    with pytest.raises(PMESealError, match=link_id):
        sealer.open(sealer.seal(LINK, "lnk_1", "m"), link_id, model_id)


@given(st.integers(0, 10_000))
def test_a_changed_text_is_refused(place: int) -> None:
    sealer = Sealer.of_connection(SECRET)
    sealed = sealer.seal(LINK, "lnk_1", "m")
    place %= len(sealed) - 2
    other = "A" if sealed[place] != "A" else "B"
    with pytest.raises(PMESealError):
        sealer.open(sealed[:place] + other + sealed[place + 1 :], "lnk_1", "m")


def test_the_newest_key_seals_and_every_key_opens() -> None:
    old = Sealer.of_connection(SECRET).seal(LINK, "lnk_1", "m")
    middle = Sealer.of_connection(SECRET, KEYS[1:]).seal(LINK, "lnk_1", "m")
    sealer = Sealer.of_connection(SECRET, KEYS)
    assert sealer.key_id in sealer.seal(LINK, "lnk_1", "m")
    for sealed in (old, middle):
        assert sealer.knows(sealed)
        assert sealer.open(sealed, "lnk_1", "m").token.reveal() == "abc"


def test_a_wrong_key_is_named_with_the_cure() -> None:
    sealer = Sealer.of_connection(SECRET)
    sealed = sealer.seal(LINK, "lnk_1", "m")
    other = Sealer.of_connection(SecretStr("another secret"))
    assert not other.knows(sealed)
    with pytest.raises(PMESealError, match=f"{sealer.key_id}.*seal_keys"):
        other.open(sealed, "lnk_1", "m")


@pytest.mark.parametrize("text", ["", "pme-sealed:", "pme-sealed:v2:a:b", "pme-sealed:v1:a:b:c", "https://x"])
def test_what_is_not_a_sealed_text_is_refused(text: str) -> None:
    with pytest.raises(PMESealError):
        Sealer.of_connection(SECRET).open(text, "lnk_1", "m")


def test_a_short_seal_key_is_refused() -> None:
    with pytest.raises(PMEInputError, match=r"seal_keys\[1\]"):
        Sealer.of_connection(SECRET, [KEYS[0], SecretStr("short")])


def test_a_fingerprint_names_a_token_and_nothing_else_does() -> None:
    name = fingerprint(AccessToken("abc"))
    assert name == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert is_fingerprint(name)
    assert not is_fingerprint(name.upper())
    assert not is_fingerprint(name[:-1])


def test_hidden_texts_show_themselves_nowhere() -> None:
    hidden = AccessToken("abc123")
    for shown in (
        repr(hidden),
        str(hidden),
        f"{hidden}",
        repr([hidden]),
        repr(vars(LINK) if hasattr(LINK, "__dict__") else LINK),
    ):
        assert "abc" not in shown
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(hidden)
