"""Keep the look of an embed whose link is replaced: of an iframe only the token in its address changes.

Of other embeds, a shortcode for example, the Showcase parameters, the size, the class and the title are kept.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from pme_airflow.addresses import HttpUrl, parse_http_url
from pme_airflow.embed_params import query_pairs, with_params
from pme_airflow.targets.base import ShownLink
from pme_airflow.targets.html_tokens import Tag, attribute_value, tokens
from pme_airflow.targets.shown_tokens import tokens_of

__all__ = ["default_frame", "renewed_frame"]

_ATTRIBUTE = re.compile(r"(?<![^\s\"'<>/=])([^\s\"'<>/=]{1,128})(\s{0,16}=\s{0,16})(\"[^\"]*\"|'[^']*'|[^\s\"'>]+)")
#: Attributes that hold an address which a browser or a script loads.
_ADDRESSES = re.compile(r"src\Z|data-[a-z0-9-]{0,60}\Z")
_AND = re.compile(r"&(?:amp|#0?38|#x26);|&")
_AUTH = re.compile(r"(?<=[?&;])(auth=)[^&#\"'<>\s]*")
_URL = re.compile(r"(?:https?:)?//[^\s<>\"'\[\]]+")
_SIZE = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,4})?(?:px|%|vh|vw|em|rem)?\Z")
_CLASS = re.compile(r"[A-Za-z0-9_ -]{1,200}\Z", re.ASCII)
#: Parameters that select what is opened and do not change how it looks.
_NOT_LOOKS = frozenset({"access_token", "auth", "m", "model"})


def renewed_frame(text: str, link: ShownLink, former: str = "") -> str | None:
    """Return the iframe in a stretch of a page that shows the link's model, with the new token in its address.

    All else is kept byte for byte: other attributes, their order and quotes, parameters, what the element encloses.
    The placement's own parameters are set over those of the address.

    :param text: the stretch.
    :param former: the placement's parameters at the last time: those that it has no more are removed.
    :return: ``None`` where there is no such iframe, or one that would show an old token elsewhere.
    """
    read = list(tokens(text))
    for index, token in enumerate(read):
        if not isinstance(token, Tag) or token.closing or token.name != "iframe":
            continue
        renewed = _renewed_tag(token, link, former)
        if renewed is not None:
            closing = (t.end for t in read[index:] if isinstance(t, Tag) and t.closing and t.name == "iframe")
            end = next(closing, 0)
            whole = renewed + text[token.end : end] if end else f"{renewed}</iframe>"
            return None if tokens_of(whole, link.model_id) - {link.token.reveal()} else whole
    return None


def _renewed_tag(tag: Tag, link: ShownLink, former: str) -> str | None:
    if "srcdoc" in tag.attributes:
        return None  # it is shown in place of the address
    changed = False
    pieces, position = [], 0
    for match in _ATTRIBUTE.finditer(tag.source):
        quote = match[3][0] if match[3][0] in "\"'" else ""
        raw = match[3].strip(quote) if quote else match[3]
        if _ADDRESSES.match(match[1].lower()) and _names_model(attribute_value(raw), link.model_id):
            core = raw.strip()
            renewed = raw.replace(core, _renewed_address(core, link, former), 1)
            pieces += [tag.source[position : match.start(3)], quote, renewed, quote]
            position = match.end(3)
            changed = True
    return "".join(pieces) + tag.source[position:] if changed else None


def _names_model(address: str, model_id: str) -> bool:
    names = re.compile(rf"(?:[?&;#]m=|/(?:models|spaces?|show|work)/){re.escape(model_id)}(?![A-Za-z0-9])")
    return bool(_URL.match(address.strip()) and (names.search(address) or names.search(unquote(address))))


def _renewed_address(raw: str, link: ShownLink, former: str) -> str:
    """Return an address as it stands in an attribute, with the new token in it."""
    auth = dict(query_pairs(link.url.reveal().partition("?")[2])).get("auth")
    if auth is None or not _is_same_place(attribute_value(raw).strip(), link):
        kept = _with_looks(link, attribute_value(raw), former)
        return html.escape(kept, quote=True)
    renewed = raw
    if _AUTH.search(raw):
        renewed = _AUTH.sub(lambda match: match[1] + auth, raw, count=1)
    else:
        renewed = _appended(raw, f"auth={auth}")
    return _set_params(renewed, link.params, former)


def _is_same_place(address: str, link: ShownLink) -> bool:
    """Return whether an address is the link's but for parameters, so that it may stay and get the token alone."""
    own = _parsed(address)
    new = parse_http_url(link.url.reveal())
    if own is None or new is None or own.query is None:
        return False
    place = own.scheme == new.scheme and own.netloc == new.netloc and own.path.rstrip("/") == new.path.rstrip("/")
    return place and dict(query_pairs(own.query)).get("m") == link.model_id


def _parsed(address: str) -> HttpUrl | None:
    return parse_http_url(f"https:{address}" if address.startswith("//") else address)


def _appended(raw: str, parameter: str) -> str:
    rest, hash_sign, fragment = _split_fragment(raw)
    spellings = _AND.findall(rest)
    separator = "?" if "?" not in rest else spellings[0] if spellings else "&amp;"
    return f"{rest}{separator}{parameter}{hash_sign}{fragment}"


def _split_fragment(raw: str) -> tuple[str, str, str]:
    """Split an address in an attribute before its fragment; ``&#38;`` is none."""
    found = re.search(r"(?<!&)#", raw)
    return (raw[: found.start()], "#", raw[found.end() :]) if found else (raw, "", "")


def _set_params(raw: str, params: str, former: str) -> str:
    wanted = dict(query_pairs(params))
    for name, value in query_pairs(former):
        if name not in wanted:
            raw = re.sub(rf"(?:&(?:amp|#0?38);|&){re.escape(name)}={re.escape(value)}(?=[&#]|\Z)", "", raw, count=1)
    for name, value in wanted.items():
        found = re.search(rf"(?<=[?&;]){re.escape(name)}=[^&#]*", raw)
        pair = f"{name}={value}"
        raw = f"{raw[: found.start()]}{pair}{raw[found.end() :]}" if found else _appended(raw, pair)
    return raw


def _with_looks(link: ShownLink, address: str, former: str = "") -> str:
    """Return the link with the Showcase parameters of another address of the model."""
    query = address.partition("#")[0].partition("?")[2]
    new = dict(query_pairs(link.url.reveal().partition("?")[2]))
    gone = [pair for pair in query_pairs(former) if pair[0] not in dict(query_pairs(link.params))]
    kept = [
        f"{name}={value}"
        for name, value in query_pairs(query)
        if name not in new and name.lower() not in _NOT_LOOKS and (name, value) not in gone
    ]
    return with_params(link.url.reveal(), "&".join(kept))


@dataclass(frozen=True)
class _Looks:
    """The attributes of a frame besides its address."""

    width: str = "100%"
    height: str = "480"
    css_class: str = ""
    title: str = ""


def default_frame(link: ShownLink, replaced: str = "") -> str:
    """Return a new iframe that shows a link.

    A name is written in ASCII, since tables in ``utf8mb3`` take no emoji, and without brackets, which would run
    shortcodes.

    :param replaced: the stretch of a page that it replaces, a shortcode for example; its looks are kept.
    """
    plain = attribute_value(replaced)
    looks = _looks_of(replaced)
    address = next((url for url in _URL.findall(plain) if _names_model(url, link.model_id)), "")
    url = html.escape(_with_looks(link, address), quote=True)
    css_class = f' class="{looks.css_class}"' if looks.css_class else ""
    return (
        f'<iframe src="{url}" title="{_ascii(looks.title or link.name)}" width="{looks.width}" '
        f'height="{looks.height}"{css_class} referrerpolicy="no-referrer" allowfullscreen=""></iframe>'
    )


def _ascii(text: str) -> str:
    title = html.escape(text, quote=True).replace("[", "&#91;").replace("]", "&#93;")
    return title.encode("ascii", "xmlcharrefreplace").decode()


def _looks_of(replaced: str) -> _Looks:
    """Read size, class and title of a shortcode or an element."""
    head = re.match(r"\s*[\[<][^\]>]*", replaced)
    found: Mapping[str, str] = {}
    if head is not None and not replaced.lstrip().startswith("<!--"):
        found = {m[1].lower(): attribute_value(m[3].strip("\"'")) for m in _ATTRIBUTE.finditer(head[0])}
    width, height = found.get("width", ""), found.get("height", "")
    css_class, title = found.get("class", ""), found.get("title", "")
    return _Looks(
        width if _SIZE.match(width) else _Looks.width,
        height if _SIZE.match(height) else _Looks.height,
        css_class if _CLASS.match(css_class) else "",
        title if len(title) <= 200 and title.isprintable() else "",
    )
