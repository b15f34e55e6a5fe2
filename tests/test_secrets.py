from __future__ import annotations

import copy
import pickle

import pytest

from pme_airflow.secrets import AccessToken, SecretStr


@pytest.mark.parametrize("kind", [SecretStr, AccessToken])
def test_a_secret_shows_itself_in_no_form(kind: type[SecretStr]) -> None:
    secret = kind("hunter2")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret]), repr({"a": secret})):
        assert "hunter2" not in shown
        assert kind.__name__ in shown
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == "hunter2"


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_pickled_or_copied(leave: object) -> None:
    with pytest.raises(TypeError, match="pickled") as caught:
        leave(SecretStr("hunter2"))  # type: ignore[operator]
    assert "hunter2" not in str(caught.value)


def test_secrets_are_equal_by_their_text_and_never_to_a_plain_one() -> None:
    assert SecretStr("a") == SecretStr("a")
    assert SecretStr("a") != SecretStr("b")
    assert SecretStr("a") != "a"
    assert len({SecretStr("a"), SecretStr("a"), SecretStr("b")}) == 2
