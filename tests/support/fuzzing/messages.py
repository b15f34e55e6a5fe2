"""What of an error a person may see."""

from __future__ import annotations


def shown(error: BaseException | None) -> str:
    """Return all that a traceback would show of an error's messages."""
    texts = []
    while error is not None:
        texts.append(f"{error!s} {error!r}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(texts)
