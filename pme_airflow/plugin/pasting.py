"""The route that reads a paste. Tokens come in the body, are fingerprinted, and go no further."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from pme_airflow.lifecycle.paste import MAX_PASTE_BYTES, pasted_links, read_paste
from pme_airflow.plugin.rights import MAY_ACT
from pme_airflow.plugin.sources import Sources

__all__ = ["pasting"]

#: JSON may escape each byte as six.
_MAX_BODY_BYTES = 6 * MAX_PASTE_BYTES + 1024

pasting = APIRouter(prefix="/api", dependencies=[MAY_ACT])
_one_at_a_time = asyncio.Semaphore(2)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    text: str


@pasting.post("/fingerprint")
async def fingerprint(request: Request) -> dict[str, Any]:
    """Return the links whose tokens a text contains, and the fingerprints that no link has."""
    text = await _text_of(request)
    async with _one_at_a_time:
        paste = await asyncio.to_thread(read_paste, text)
    sources: Sources = request.app.state.sources
    answers = await sources.ask(lambda view: pasted_links(view, paste))
    links = [link for answer in answers.found for link in answer["links"]]
    known = {link["fingerprint"] for link in links}
    return {
        "form": paste.form,
        "fingerprints": list(dict.fromkeys([*known, *paste.named])),
        "links": links,
        "total": sum(answer["total"] for answer in answers.found),
        "unknown": [fingerprint for fingerprint in paste.named if fingerprint not in known],
        "notes": list(paste.problems),
        "problems": [asdict(problem) for problem in answers.problems],
    }


async def _text_of(request: Request) -> str:
    """Return the text in the body. It must be JSON: a form of another site can send other types with the cookie."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "Send JSON with the header Content-Type: application/json.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise _too_long()
    try:
        text = _Body.model_validate_json(bytes(body)).text
    except ValidationError:
        raise HTTPException(422, 'Send JSON as {"text": "…"}.') from None
    if len(text.encode("utf-8", "replace")) > MAX_PASTE_BYTES:
        raise _too_long()
    return text


def _too_long() -> HTTPException:
    return HTTPException(
        413,
        f"The text is over the limit of {MAX_PASTE_BYTES} bytes. Put the file into the folder that PME_REPORTS names, "
        "or run `pme-airflow ledger flag --findings FILE --sweep`.",
    )
