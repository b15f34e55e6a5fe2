from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pme_airflow import sealing
from pme_airflow.errors import PMEInputError, PMESealError
from pme_airflow.sealing import OpenedLink, Sealer, fingerprint, is_fingerprint
from pme_airflow.secrets import AccessToken, SecretStr

SECRET = SecretStr("client secret of the connection")
KEYS = [SecretStr(f"seal key number {n} of some length") for n in range(3)]
LINK = OpenedLink(SecretStr("https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+abc"), AccessToken("abc"))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_is_opened_whole(url: str, token: str) -> None:
    for sealer in (Sealer.of_connection(SECRET), Sealer.of_connection(SECRET, KEYS)):
        opened = sealer.open(sealer.seal(OpenedLink(SecretStr(url), AccessToken(token)), "lnk_1", "m"), "lnk_1", "m")
        assert (opened.url.reveal(), opened.token.reveal()) == (url, token)


def test_the_same_link_is_never_sealed_the_same_way_twice() -> None:
    sealer = Sealer.of_connection(SECRET)
    assert sealer.seal(LINK, "lnk_1", "m") != sealer.seal(LINK, "lnk_1", "m")


@pytest.mark.parametrize("keys", [[], KEYS[:1]])
@pytest.mark.parametrize(("link_id", "model_id"), [("lnk_2", "m"), ("lnk_1", "n")])
def test_sealed_text_cannot_be_put_in_anothers_place(link_id: str, model_id: str, keys: list[SecretStr]) -> None:
    sealer = Sealer.of_connection(SECRET, keys)
    with pytest.raises(PMESealError, match=link_id):
        sealer.open(sealer.seal(LINK, "lnk_1", "m"), link_id, model_id)


def seal(secret: SecretStr, *keys: str | SecretStr) -> str:
    """A link as a connection with this secret and these seal keys seals it."""
    return connection(secret, *keys).seal(LINK, "lnk_1", "m")


def connection(secret: SecretStr, *keys: str | SecretStr) -> Sealer:
    return Sealer.of_connection(secret, [key if isinstance(key, SecretStr) else SecretStr(key) for key in keys])


def opens(sealer: Sealer, sealed: str) -> bool:
    try:
        assert sealer.open(sealed, "lnk_1", "m").token.reveal() == "abc"
    except PMESealError:
        assert not sealer.knows(sealed)
        return False
    assert sealer.knows(sealed)
    return True


def test_every_key_opens_what_it_sealed() -> None:
    sealer = connection(SECRET, *KEYS)
    for sealed in (seal(SECRET), seal(SECRET, KEYS[1], KEYS[2]), seal(SECRET, KEYS[2]), seal(SECRET, *KEYS)):
        assert opens(sealer, sealed)


def test_a_wrong_key_is_named_with_the_cure() -> None:
    sealed = seal(SECRET)
    key_id = sealed.split(":")[2]
    other = connection(SecretStr("another secret"))
    assert not other.knows(sealed)
    with pytest.raises(PMESealError, match=f"{key_id}.*seal_keys.*open:SECRET"):
        other.open(sealed, "lnk_1", "m")


OLD, NEW = SecretStr("client secret before its reset"), SecretStr("client secret after its reset")


@pytest.mark.parametrize("written", [OLD.reveal(), f"open:{OLD.reveal()}"])
@pytest.mark.parametrize("own", [[], [KEYS[0]]])
def test_a_reset_of_the_secret_locks_no_link_at_any_step(own: list[SecretStr], written: str) -> None:
    """As docs/how-to/rotate-the-secret.md walks through it: the old secret at the end of seal_keys, reseal, take it out again."""
    before, during, after = connection(OLD, *own), connection(NEW, *own, written), connection(NEW, *own)
    minted_before, minted_during = before.seal(LINK, "lnk_1", "m"), during.seal(LINK, "lnk_1", "m")
    assert opens(during, minted_before)
    assert opens(during, minted_during)
    resealed = during.seal(during.open(minted_before, "lnk_1", "m"), "lnk_1", "m")
    assert during.is_current(resealed)
    assert during.is_current(minted_before) is (before.is_current(minted_before) and set_of(during) == set_of(before))
    for sealed in (resealed, minted_during, after.seal(LINK, "lnk_1", "m")):
        assert opens(after, sealed)
        assert opens(during, sealed)


def set_of(sealer: Sealer) -> set[str]:
    return set(sealer.seal(LINK, "lnk_1", "m").split(":")[2].split("+"))


def test_two_resets_before_the_first_reseal_lock_no_link() -> None:
    third = SecretStr("client secret after a second reset")
    for keys in ([OLD, NEW], [NEW, OLD], [f"open:{NEW.reveal()}", f"open:{OLD.reveal()}"]):
        during = connection(third, *keys)
        for sealed in (seal(OLD), seal(NEW), seal(NEW, OLD), during.seal(LINK, "lnk_1", "m")):
            resealed = during.seal(during.open(sealed, "lnk_1", "m"), "lnk_1", "m")
            assert opens(connection(third), resealed)


def test_a_new_seal_key_locks_no_link_at_any_step() -> None:
    before, during, after = connection(SECRET, KEYS[1]), connection(SECRET, *KEYS[:2]), connection(SECRET, KEYS[0])
    minted_before, minted_during = before.seal(LINK, "lnk_1", "m"), during.seal(LINK, "lnk_1", "m")
    assert opens(during, minted_before)
    assert not during.is_current(minted_before)
    assert during.is_current(minted_during)
    assert opens(after, minted_during)
    assert opens(after, during.seal(during.open(minted_before, "lnk_1", "m"), "lnk_1", "m"))


def test_seal_keys_that_are_set_or_taken_out_for_good_lock_no_link() -> None:
    assert opens(connection(SECRET, KEYS[0]), seal(SECRET))
    assert opens(connection(SECRET), seal(SECRET, KEYS[0]))


def test_a_seal_key_opens_across_a_reset_of_the_secret_without_the_old_one() -> None:
    assert opens(connection(NEW, KEYS[0]), seal(OLD, KEYS[0]))
    assert not opens(connection(NEW), seal(OLD, KEYS[0]))


def test_an_entry_that_only_opens_never_seals() -> None:
    sealed = seal(NEW, f"open:{OLD.reveal()}", KEYS[0])
    assert not opens(connection(OLD), sealed)
    assert opens(connection(OLD, KEYS[0]), sealed)
    assert opens(connection(NEW, "open:short"), seal(SecretStr("short")))


def test_white_space_around_a_secret_does_not_change_its_key() -> None:
    assert opens(connection(NEW, f" {OLD.reveal()}\n"), seal(OLD))
    assert opens(connection(SecretStr("secret\n")), seal(SecretStr("secret")))


@pytest.mark.parametrize("keys", [[], KEYS[:1]])
def test_only_what_is_sealed_for_the_current_keys_and_no_other_is_current(keys: list[SecretStr]) -> None:
    sealer = connection(SECRET, *keys)
    assert sealer.is_current(sealer.seal(LINK, "lnk_1", "m"))
    for other in (seal(NEW, *keys), seal(SECRET, KEYS[2]), seal(NEW), "", "pme-sealed:v1:x"):
        assert not sealer.is_current(other)


@pytest.mark.parametrize("keys", [[], KEYS[:1]])
@given(place=st.integers(0, 10_000), other=st.characters())
def test_a_changed_text_is_refused(keys: list[SecretStr], place: int, other: str) -> None:
    sealer = connection(SECRET, *keys)
    sealed = sealer.seal(LINK, "lnk_1", "m")
    place %= len(sealed)
    changed = [sealed[:place] + other + sealed[place + 1 :], sealed[:place] + other + sealed[place:], sealed[:place]]
    for text in changed:
        if text != sealed:
            with pytest.raises(PMESealError):
                sealer.open(text, "lnk_1", "m")


@pytest.mark.parametrize(
    ("keys", "sealed"),
    [
        pytest.param(
            [],
            "pme-sealed:v1:ca418198:TV4Cyd7CrR_Ck7eu-DB5twWWxpzAO9ckaxACWgEBSk1Q8K0QmA4sdW64H"
            "0LoY0OqnkWwVcBd9ND1EBPGd8fmng==",
            id="client secret",
        ),
        pytest.param(
            KEYS[:1],
            "pme-sealed:v1:497f57ac+ca418198:8xi_ZPCziF3fGX9Ahub60IqsYkMFI5VMkxvDG771TKIl2jEZ"
            "mQJUFfz6gtNatcbZTnZJINxMNUy8QXMuw0RVcDRPAHFSX77JTufWrYNzBeOTMYA4eRyZo6CgWMa4EYRB"
            "O84uEhc88qYE_3CiUBIRT1l2arfUYWELRzBH7eTI5--Vhp6WrBMZs8q7p8jRGcQdsxBjCurDuzAr8zBf"
            "fUERpbyM6u_9-6nLK2WALkkxcepgMc_Kv_Crlg==",
            id="seal key and client secret",
        ),
    ],
)
def test_what_an_earlier_release_sealed_is_opened(keys: list[SecretStr], sealed: str) -> None:
    assert opens(connection(SECRET, *keys), sealed)


@pytest.mark.parametrize(("length", "taken"), [(15, False), (16, True)])
def test_a_seal_key_has_sixteen_characters_or_more(length: int, taken: bool) -> None:
    key = SecretStr("k" * length)
    if taken:
        assert opens(connection(SECRET, key), seal(SECRET, key))
    else:
        with pytest.raises(PMEInputError, match=r"seal_keys\[0\].*16 characters"):
            connection(SECRET, key)


def test_an_empty_entry_that_only_opens_is_refused() -> None:
    with pytest.raises(PMEInputError, match=r"seal_keys\[1\]"):
        connection(SECRET, KEYS[0], "open:")


def test_half_a_character_in_a_secret_or_token_is_no_traceback() -> None:
    broken = SecretStr("a secret with half a character \ud800")
    assert opens(connection(broken), seal(broken))
    assert is_fingerprint(fingerprint(AccessToken("\ud800")))


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


@pytest.mark.parametrize("key_id", ["k3f9s8d7q2m4x6z1b5n0c8v7y", "a b", "", "a+", "\n"])
def test_what_no_key_is_called_is_not_repeated(key_id: str) -> None:
    with pytest.raises(PMESealError, match="is not a sealed text"):
        Sealer.of_connection(SecretStr("secret")).open(f"pme-sealed:v1:{key_id}:AAAA", "link-1", "SxQL3iGyoDo")


def test_a_viewers_fingerprint_is_keyed_and_found_after_the_secret_was_reset() -> None:
    old, new = SecretStr("an earlier client secret"), SecretStr("a newer client secret")
    before, after = Sealer.of_connection(old), Sealer.of_connection(new, [SecretStr(f"open:{old.reveal()}")])
    (first, *_) = before.viewer_fingerprints("ada")
    assert first not in (before.viewer_fingerprints("bob")[0], after.viewer_fingerprints("ada")[0])
    assert first in after.viewer_fingerprints("ada")
    assert first not in Sealer.of_connection(new).viewer_fingerprints("ada")
    assert len(first) == len("viewer:") + 64
    assert len(before.viewer_fingerprints("x" * 10_000 + "\ud800")[0]) == len(first)


SHARED = OpenedLink(LINK.url, LINK.token, ["yyHDFKzPzvN", "SxQL3iGyoDo"])


@pytest.mark.parametrize("keys", [[], KEYS[:1]])
def test_a_token_of_several_models_opens_for_each_of_them_and_no_other(keys: list[SecretStr]) -> None:
    sealer = Sealer.of_connection(SECRET, keys)
    sealed = sealer.seal(SHARED, "lnk_1", "shared")
    assert sealed.startswith("pme-sealed:v2:")
    assert sealer.knows(sealed)
    assert sealer.is_current(sealed)
    for model_id in SHARED.models:
        opened = sealer.open(sealed, "lnk_1", model_id)
        assert opened.url.reveal() == f"https://my.matterport.com/show?m={model_id}&auth=Bearer+abc"
        assert opened.token == LINK.token
        assert [url.reveal() for url in opened.urls] == [url.reveal() for url in SHARED.urls]
    for link_id, model_id in (("lnk_1", "shared"), ("lnk_1", "mmmmmmmmmmm"), ("lnk_2", "SxQL3iGyoDo")):
        with pytest.raises(PMESealError, match=link_id):
            sealer.open(sealed, link_id, model_id)


def test_neither_version_of_a_sealed_text_passes_for_the_other() -> None:
    sealer = Sealer.of_connection(SECRET)
    for link, model_id in ((LINK, "yyHDFKzPzvN"), (SHARED, "yyHDFKzPzvN")):
        sealed = sealer.seal(link, "lnk_1", model_id)
        other = sealed.replace(":v1:", ":v?:").replace(":v2:", ":v1:").replace(":v?:", ":v2:")
        with pytest.raises(PMESealError):
            sealer.open(other, "lnk_1", model_id)
        with pytest.raises(PMESealError):
            sealer.open(sealed.replace(":v1:", ":v3:").replace(":v2:", ":v3:"), "lnk_1", model_id)


def test_a_link_alone_has_one_address() -> None:
    assert LINK.urls == [LINK.url]


@pytest.mark.parametrize("text", ["plain", 'q"uo\\te/', "caf\u00e9 \U0001f600", "\x00\x1f\x7f\u2028", "\ud800"])
def test_what_is_sealed_and_bound_is_as_json_writes_it(text: str) -> None:
    # Other versions of this package open it, so that its bytes may not change.
    opened = OpenedLink(SecretStr(f"https://{text}"), AccessToken(text))
    assert sealing._content(opened) == json.dumps({"url": f"https://{text}", "token": text}).encode()
    assert sealing._bound("v1", "lnk_1", text) == json.dumps(["lnk_1", text]).encode()
    assert sealing._bound("v2", text, "m") == json.dumps([text, "v2"]).encode()
