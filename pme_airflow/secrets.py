"""Secret values that no log, ``repr`` or traceback shows."""

from __future__ import annotations

__all__ = ["AccessToken", "SecretStr"]


class SecretStr:
    """A text that no ``repr``, ``str``, format or traceback shows; :meth:`reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text in clear. Keep what it returns out of names that live long."""
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
    """A model-scoped access token (opaque; every published example is 25 characters of ``[a-z0-9]``)."""

    __slots__ = ()
