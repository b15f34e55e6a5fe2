"""Types for secrets, which no ``repr``, log line or traceback shows."""

from __future__ import annotations

__all__ = ["AccessToken", "SecretStr"]


class SecretStr:
    """A secret text. ``repr``, ``str`` and format never show it; :meth:`reveal` returns it.

    It refuses to be pickled, so that it does not reach XCom or a worker's queue in clear.

    :param text: the secret.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret in clear. Do not keep it in a variable that a traceback with local values would show."""
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(f"a {type(self).__name__} is not pickled: seal it first.")


class AccessToken(SecretStr):
    """A model-scoped access token. It is opaque; every published example is 25 characters of ``[a-z0-9]``."""

    __slots__ = ()
