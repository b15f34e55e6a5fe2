"""Find and mask the tokens of private links in text, in any encoding.

Everything here takes time linear in the length of the text.
"""

from __future__ import annotations

import base64
import html.entities
import re
from array import array
from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "MASK",
    "SHORTEST_TOKEN",
    "candidates_in",
    "decodings",
    "has_masked_token",
    "is_masked",
    "redact",
    "tokens_in",
    "unwrapped",
]

#: What replaces a masked token; Airflow's own masks are the same.
MASK = "***"

#: A token after ``Bearer``, in decoded text. ``\u00c2`` is what is left of UTF-8's no-break space; ``-2B`` and
#: ``-2520`` are what Proofpoint URL Defense makes of ``+`` and ``%20``.
_BEARER = re.compile(r"Bearer(?:[\s+\u00c2]+|-(?:25)?2[0B])([A-Za-z0-9._~-]{8,512})", re.IGNORECASE)
#: Other names of fields that hold a token.
_FIELD = re.compile(
    r"(?:access_?token|auth)[\"']?\s?[:=]\s?[\"']?(?!(?:3D)?Bearer)([A-Za-z0-9._~-]{8,512})", re.IGNORECASE
)
#: A word with the shape of every token that the vendor has published: 25 lower-case letters and digits, some of each.
#: It may follow an escape of Proofpoint URL Defense, such as ``-2B``.
_TOKEN_SHAPE = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=-[23][0-9A-F])|(?<=-25[23][0-9A-F]))"
    r"(?=[a-z]{0,24}[0-9])(?=[0-9]{0,24}[a-z])[a-z0-9]{25}(?![A-Za-z0-9])",
    re.ASCII,
)
#: The fewest characters of a text that may be or contain a token.
SHORTEST_TOKEN = 8
#: A whole text that may be a token.
_WORD = re.compile(rf"[A-Za-z0-9._~-]{{{SHORTEST_TOKEN},512}}\Z", re.ASCII)
#: What a scanner or a log writes in place of a token, or after its first characters.
_MASK_WORD = re.compile(r"(?:redact(?:ed)?|masked|hidden|filtered|removed|([xX0._~-])\1*)\Z", re.IGNORECASE)
_MASK_AFTER = re.compile(r"[*#\u2022\u25cf\u2588]{3}|\u2026")
#: Masks of gitleaks (``REDACTED``, ``k3f9...``), secretlint, TruffleHog, ggshield, Trivy (stars), Kingfisher
#: (``[REDACTED:…]``), Semgrep (``requires login``), CI systems and Airflow (stars, ``[MASKED]``, ``[secure]``).
_MASKED = re.compile(
    r"redacted|\bredact\b|[*#\u2022\u25cf\u2588]{3}|x{8}|(?:\.{3}|\u2026)[\"'`]?\Z|_{3}\Z"
    r"|[\[<(](?:masked|hidden|filtered|removed|secret|secure|sensitive|truncated)\b"
    r"|\A(?:masked|hidden|filtered|removed|requires login|[x#.-]+)\Z",
    re.IGNORECASE,
)
_BEARER_MASKED = re.compile(
    r"Bearer[\s+]+(?:[\[<(]{0,2}(?:redact|masked|hidden|filtered|removed)|[*#\u2022\u25cf\u2588]{3}|\u2026"
    r"|x{4}|[A-Za-z0-9_~-]{1,512}(?:\.{2}|\u2026|[*#\u2022\u25cf\u2588]{3}))",
    re.IGNORECASE,
)

#: Escapes of URLs, JSON, JavaScript and HTML, full-width forms, colours of terminals, and invisible characters.
_ESCAPE = re.compile(
    r"%(?P<percent>[0-9A-Fa-f]{2})"
    r"|(?:\\u|%u)(?P<unicode>[0-9A-Fa-f]{4})"
    r"|\\x(?P<byte>[0-9A-Fa-f]{2})"
    r"|&#[xX]0*(?P<hexadecimal>[0-9A-Fa-f]{1,6});?"
    r"|&#0*(?P<decimal>[0-9]{1,7});?"
    r"|&(?P<named>[A-Za-z][A-Za-z0-9]{1,31};)"
    r"|\\(?P<escaped>[/\"'+])"
    r"|\\(?P<control>[nrtbf])"
    r"|(?P<wide>[\uff01-\uff5e])"
    r"|\x1b\[[0-9;]{0,32}[A-Za-z]"
    r"|[\0\u00ad\u200b-\u200d\u2060\ufeff]"
)
#: What a backslash and a letter stand for, as JSON and logs write control characters.
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "b": " ", "f": " "}
#: How far the full-width form of a character of ASCII is from it.
_WIDE = 0xFEE0
#: Quoted-printable, and its escapes of ``+``, ``=`` and a no-break space in lower case, which some programs write.
_QUOTED_PRINTABLE = re.compile(r"=(?:(?P<percent>[0-9A-F]{2}|2b|3d|c2|a0)|\r?\n)")
#: What a mail client, a terminal or quoted-printable puts into a link that is longer than a line.
_BREAK = r"=?\r?\n[ \t]{0,80}"
#: A token with line breaks inside, after ``Bearer`` and what separates the two in any encoding.
_WRAPPED_BEARER = re.compile(rf"(?i:Bearer)[^\n]{{0,40}}?((?:(?:{_BREAK})?[a-z0-9]){{25}})(?![A-Za-z0-9])", re.ASCII)
#: The end of a line and the first word of the next, which may together have the shape of a token.
_WRAPPED_WORD = re.compile(
    rf"(?<![A-Za-z0-9])([a-z0-9]{{1,24}}){_BREAK}(?=([a-z0-9]{{1,24}})(?![A-Za-z0-9]))", re.ASCII
)
#: A link in JSON in HTML in a URL is decoded three times.
_MAX_LEVELS = 4

_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-][A-Za-z0-9+/_\r\n-]{22,}={0,2}")
_BASE64_ALPHABET = str.maketrans("-_", "+/", "\r\n=")
_HEX_RUN = re.compile(r"[0-9A-Fa-f]{16,}")
#: How often base64 is decoded inside base64.
_BASE64_LEVELS = 2
#: Text inside decoded bytes; what was no base64, or began at another offset, decodes to bytes without any.
_PRINTABLE_RUN = re.compile(rb"[\t\n\r -~]{12,}")


def tokens_in(text: str, *, bare: bool = False) -> list[str]:
    """Return the tokens that follow ``Bearer`` in a text, in any encoding, each once.

    :param bare: whether a text that is nothing but one word counts as a token; a token followed by punctuation is
        then returned without it as well, since only the ledger can say which of the two it is.
    """
    return _tokens_in(text, decodings(text), bare=bare)


def _tokens_in(text: str, forms: Iterable[str], *, bare: bool) -> list[str]:
    word = text.strip().strip("<>\"'`")
    is_word = bare and bool(_WORD.match(word))
    found = [word] if is_word else [token for form in forms for token in _bearer_tokens(form)]
    if bare:
        found += _decoded_words(word)
    if bare:
        found += [token.rstrip("._~-") for token in found]
    return [token for token in dict.fromkeys(found) if len(token) >= SHORTEST_TOKEN and not _MASK_WORD.match(token)]


def candidates_in(text: str) -> list[str]:
    """Return every word of a text that may be a token, in any encoding; most are none, and only the ledger can say.

    These are the tokens that :func:`tokens_in` returns for a text that may be a token itself, and the words that have
    the shape of one.
    """
    forms = list(decodings(text))
    shaped = (match[0] for form in forms for match in _TOKEN_SHAPE.finditer(form))
    return list(dict.fromkeys([*_tokens_in(text, forms, bare=True), *shaped]))


def is_masked(text: str) -> bool:
    """Return whether a scanner has masked the secret in a text, whole or but for its first characters."""
    return bool(_MASKED.search(text.strip()))


def has_masked_token(text: str) -> bool:
    """Return whether a masked token follows ``Bearer`` in a text, in any encoding."""
    return any(_BEARER_MASKED.search(decoded) for decoded in decodings(text))


def decodings(text: str) -> Iterator[str]:
    """Yield a text, each of its decodings, and the base64 texts in them that contain ``Bearer``."""
    yield text
    for form in dict.fromkeys([text, _QUOTED_PRINTABLE.sub(_character, text), unwrapped(text)]):
        last = form
        if form is not text:
            yield form
        for decoded in _levels(form):
            last = decoded
            yield decoded
        yield from _base64_contents(last)


def unwrapped(text: str) -> str:
    """Return a text without the line breaks inside words that have the shape of a token, soft breaks included."""
    joined = _WRAPPED_BEARER.sub(_without_breaks, text)
    return _WRAPPED_WORD.sub(
        lambda match: match[1] if _TOKEN_SHAPE.fullmatch(match[1] + match[2]) else match[0], joined
    )


def redact(text: str, mask: str = MASK) -> str:
    """Return a text with its tokens masked, in any encoding; for text that a person gives and we store or print.

    Masked are words after ``Bearer`` and in fields such as ``access_token``, words with the shape of a token, and runs
    of base64 or hexadecimal digits that contain one of these.
    """
    spans = sorted(_token_spans(text))
    parts: list[str] = []
    position = 0
    for start, end in spans:
        if start > position:
            parts += [text[position:start], mask]
        elif not parts and start == position:
            parts.append(mask)
        position = max(position, end)
    return "".join([*parts, text[position:]])


def _without_breaks(match: re.Match[str]) -> str:
    token = re.sub(_BREAK, "", match[1])
    return match[0][: match.start(1) - match.start()] + token if _TOKEN_SHAPE.fullmatch(token) else match[0]


def _bearer_tokens(text: str) -> Iterator[str]:
    for match in _BEARER.finditer(text):
        token = match[1].rstrip(".")
        if len(match[1]) - len(token) < 2 and not _MASK_AFTER.match(text, match.end()):
            yield token


# ---------------------------------------------------------------- escapes


def _character(match: re.Match[str]) -> str:
    """Return what an escape stands for; nothing for a soft line break or an invisible character."""
    kind, value = match.lastgroup, match[match.lastgroup or 0]
    if kind is None:
        return ""
    if kind == "escaped":
        return value
    if kind == "control":
        return _CONTROL[value]
    if kind == "wide":
        return chr(ord(value) - _WIDE)
    if kind == "named":
        return html.entities.html5.get(value, match[0])
    code = int(value, 10 if kind == "decimal" else 16)
    return chr(code) if code < 0x110000 else match[0]


def _levels(text: str) -> Iterator[str]:
    """Yield a text decoded once, twice and so on, until nothing is left to decode."""
    for _ in range(_MAX_LEVELS):
        decoded = _ESCAPE.sub(_character, text)
        if decoded == text:
            return
        yield decoded
        text = decoded


# ---------------------------------------------------------------- base64 and hexadecimal digits


def _base64_decoded(run: str) -> Iterator[bytes]:
    """Yield what a run of base64 characters contains, at each of the four offsets at which it may begin."""
    characters = run.translate(_BASE64_ALPHABET)
    for start in range(4):
        length = len(characters) - start
        whole = length - 1 if length % 4 == 1 else length
        padded = characters[start : start + whole] + "=" * (-whole % 4)
        yield base64.b64decode(padded).replace(b"\0", b"")


def _base64_contents(text: str, levels: int = _BASE64_LEVELS) -> Iterator[str]:
    for run in _BASE64_RUN.finditer(text):
        for content in _base64_decoded(run[0]):
            yield from _text_in(content, levels - 1)


def _text_in(content: bytes, base64_levels: int) -> Iterator[str]:
    """Yield the text in decoded bytes, and each of its decodings."""
    text = b"\n".join(_PRINTABLE_RUN.findall(content)).decode("ascii")
    if text:
        yield text
        yield from _levels(text)
        if base64_levels:
            yield from _base64_contents(text, base64_levels)


def _hex_decoded(run: str) -> Iterator[bytes]:
    """Yield what a run of hexadecimal digits contains, at each of the two offsets at which it may begin."""
    for start in range(2):
        length = (len(run) - start) // 2 * 2
        yield bytes.fromhex(run[start : start + length])


def _decoded_words(word: str) -> Iterator[str]:
    """Yield the token that a whole word is the base64 or the hexadecimal form of."""
    contents = [next(_base64_decoded(word))] if _BASE64_RUN.fullmatch(word) else []
    contents += [next(_hex_decoded(word))] if _HEX_RUN.fullmatch(word) else []
    for content in contents:
        text = content.decode("latin-1")
        yield from [text] if _WORD.match(text) else _bearer_tokens(text)


# ---------------------------------------------------------------- masking


def _token_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where tokens begin and end in a text; spans may overlap."""
    offsets = array("L", range(len(text) + 1))
    unwrapped = _decode_with_offsets(text, offsets, _QUOTED_PRINTABLE)
    for form, form_offsets in [(text, offsets), *([unwrapped] if unwrapped[0] != text else [])]:
        yield from _spans_in(form, form_offsets)
        for _ in range(_MAX_LEVELS):
            decoded, decoded_offsets = _decode_with_offsets(form, form_offsets, _ESCAPE)
            if decoded == form:
                break
            form, form_offsets = decoded, decoded_offsets
            yield from _spans_in(form, form_offsets)


def _decode_with_offsets(text: str, offsets: array[int], escape: re.Pattern[str]) -> tuple[str, array[int]]:
    """Return a text decoded once, and where each of its characters begins in the original text."""
    parts: list[str] = []
    decoded_offsets = array("L")
    position = 0
    for match in escape.finditer(text):
        replacement = _character(match)
        parts += [text[position : match.start()], replacement]
        decoded_offsets += offsets[position : match.start()]
        decoded_offsets.extend([offsets[match.start()]] * len(replacement))
        position = match.end()
    decoded_offsets += offsets[position:]
    return "".join([*parts, text[position:]]), decoded_offsets


def _spans_in(text: str, offsets: array[int]) -> Iterator[tuple[int, int]]:
    for pattern, group in ((_BEARER, 1), (_FIELD, 1), (_TOKEN_SHAPE, 0)):
        for match in pattern.finditer(text):
            yield offsets[match.start(group)], offsets[match.end(group)]
    for start, end in _wrapped_spans(text):
        yield offsets[start], offsets[end]
    for runs, decoded in ((_BASE64_RUN, _base64_decoded), (_HEX_RUN, _hex_decoded)):
        for run in runs.finditer(text):
            if _contains_token(run[0], decoded):
                yield offsets[run.start()], offsets[run.end()]


def _wrapped_spans(text: str) -> Iterator[tuple[int, int]]:
    for match in _WRAPPED_BEARER.finditer(text):
        if _TOKEN_SHAPE.fullmatch(re.sub(_BREAK, "", match[1])):
            yield match.span(1)
    for match in _WRAPPED_WORD.finditer(text):
        if _TOKEN_SHAPE.fullmatch(match[1] + match[2]):
            yield match.start(1), match.end(2)


def _contains_token(run: str, decoded: Callable[[str], Iterator[bytes]]) -> bool:
    texts = (text for content in decoded(run) for text in _text_in(content, _BASE64_LEVELS - 1))
    return any(_BEARER.search(text) or _FIELD.search(text) or _TOKEN_SHAPE.search(text) for text in texts)
