"""Send the requests of a recipe for one link, and judge each answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests

from pme_airflow.errors import SlotError
from pme_airflow.recipes.answers import MAX_KEPT, kept_values, size_of
from pme_airflow.recipes.model import BodyKind, Recipe, Section, Step, fill
from pme_airflow.recipes.sandbox import as_text
from pme_airflow.targets.bounded_http import MAX_BODY
from pme_airflow.targets.web import WebApi, WebRefusal

__all__ = ["NOT_MODIFIED", "StepRun", "path_part"]

NOT_MODIFIED = 304
_ADVICE = {
    401: ": check the credentials of the connection",
    403: ": the account has no right to write there. Grant it",
    404: ": nothing exists at the endpoint. Create the entry first, or correct endpoint",
    405: ": the endpoint does not accept this method. Correct method",
    409: ": somebody changed the entry meanwhile. It is read again and tried",
    412: ": somebody changed the entry meanwhile. It is read again and tried",
    415: ": the endpoint does not accept JSON. Correct endpoint",
}
#: A code of an error that can be repeated: words, no value that the server was sent.
_CODE = re.compile(r"[A-Za-z_-]{1,40}\Z")


class StepRun:
    """The requests of one section of a recipe, for one link.

    :param values: what templates may name of the link and of the connection.
    :ivar bodies: the bodies that were sent, as JSON.
    """

    def __init__(self, web: WebApi, recipe: Recipe, section: Section, values: Mapping[str, Any]) -> None:
        self.bodies: list[str] = []
        self._web = web
        self._steps = recipe.steps(section)
        self._scope = dict(values)
        self._kept = 0
        named = recipe.names(section)
        self._scope |= {name: text.markup(values) for name, text in recipe.texts.items() if name in named}

    def send(self, key: str = "", last_headers: Mapping[str, str] | None = None) -> requests.Response:
        """Send the requests one after the other, and return the last answer.

        :param key: what an ``Idempotency-Key`` of each request that writes is made of; none is sent without it.
        :param last_headers: further headers of the last request, whose answer may then be 304.
        :raises SlotError: with the step's name, and without anything that was sent or answered.
        """
        answer: requests.Response | None = None
        for step in self._steps:
            further = dict(last_headers or {}) if step is self._steps[-1] else {}
            try:
                if step.when is None or _holds(step.when.value(self._scope)):
                    answer = self._send(step, key, further)
            except SlotError as error:
                if step.name:
                    error.args = (f"step {step.name}: {error}",)
                raise
        if answer is None:
            raise SlotError("no step was sent, since no condition under when held. Check them")
        return answer

    def _send(self, step: Step, key: str, further: Mapping[str, str]) -> requests.Response | None:
        body = self._body(step)
        headers = {**self._headers(step), **further}
        if key and step.writes and not any(name.lower() == "idempotency-key" for name in headers):
            headers["Idempotency-Key"] = _idempotency_key(key, step.name, body)
        try:
            answer = self._request(step, headers, body, unchanged=bool(further))
        except WebRefusal as error:
            if not (step.optional and error.permanent):
                raise
            self._keep(step, None)
            return None
        if step.keep:
            self._keep(step, answer)
        return answer

    def _request(self, step: Step, headers: Mapping[str, str], body: Any, *, unchanged: bool) -> requests.Response:
        return self._web.request(
            step.method,
            step.endpoint.render(self._scope, path_part),
            lambda response: _problem_of(response, step, unchanged=unchanged),
            headers=headers,
            body=body if step.body_kind is BodyKind.JSON else None,
            form=body if step.body_kind is BodyKind.FORM else None,
            anonymous=step.anonymous,
            allow_html=step.accepts_text,
        )

    def _body(self, step: Step) -> Any:
        if step.body_kind is BodyKind.NONE:
            return None
        is_json = step.body_kind is BodyKind.JSON
        body = fill(step.body, lambda text: text.value(self._scope) if is_json else text.render(self._scope))
        if size_of(body, MAX_BODY) > MAX_BODY:
            raise SlotError(f"the body is longer than {MAX_BODY // 1024 // 1024} MiB: keep less of the answers")
        try:
            self.bodies.append(json.dumps(body, allow_nan=False))
        except ValueError:
            raise SlotError("the body would have a number that JSON does not have: check what is kept") from None
        return body

    def _headers(self, step: Step) -> dict[str, str]:
        """Return the headers of a step. One whose template makes nothing is left out."""
        headers = {name: text.render(self._scope) for name, text in step.headers.items()}
        for name, value in headers.items():
            if not value.isprintable():
                raise SlotError(f"header {name} would have a line break or control character: correct its template")
        return {name: value for name, value in headers.items() if value}

    def _keep(self, step: Step, answer: requests.Response | None) -> None:
        """Keep what the step names of an answer; of a refusal the defaults alone."""
        refused = answer is None or answer.status_code >= 400
        body, headers = (None, {}) if answer is None or refused else (_json_of(answer), answer.headers)
        kept = kept_values(step.keep, body, headers, refused=refused)
        self._kept += size_of(kept)
        if self._kept > MAX_KEPT:
            raise SlotError(f"the steps keep more than {MAX_KEPT} characters: keep less of the answers")
        self._scope[step.name] = kept


def path_part(value: Any) -> str:
    """Return a value as one part of a path or of a query, whatever is in it.

    :raises SlotError: for a value that would address another place: nothing, ``.`` or ``..``.
    """
    text = as_text(value)
    if text in ("", ".", ".."):
        raise SlotError("a value of the endpoint is empty or a dot, so that another place would be addressed")
    return quote(text, safe="")


def _idempotency_key(key: str, name: str, body: Any) -> str:
    """Return a key that attempts with the same body share: after a conflict another body is sent, with another key."""
    return hashlib.sha256(f"{key}\n{name}\n{json.dumps(body)}".encode()).hexdigest()


def _holds(value: Any) -> bool:
    return bool(value) and value not in ("false", "0")


def _problem_of(response: requests.Response, step: Step, *, unchanged: bool) -> SlotError | None:
    status = response.status_code
    if unchanged and status == NOT_MODIFIED:
        return None
    body = None if step.accepts_text else _json_of(response)
    if any(conflict.met_by(body) for conflict in step.conflicts):
        return WebRefusal(f"HTTP {status} with a conflict that the recipe names{_ADVICE[409]}", status, passing=True)
    if status not in step.expected or status in step.conflict_statuses:
        message = f"HTTP {status} instead of {sorted(step.expected)}{_ADVICE.get(status, '')}"
        return WebRefusal(message, status, passing=status in step.conflict_statuses)
    if status >= 400:
        return None
    return _error_in_success(body, status) or _lacks_required(body, step, status)


def _error_in_success(body: Any, status: int) -> SlotError | None:
    """Return the error that the body of a successful response reports."""
    if not isinstance(body, dict) or not (body.get("errors") or body.get("error") or body.get("ok") is False):
        return None
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else error
    named = f" ({code})" if isinstance(code, str) and _CODE.match(code) else ""
    return WebRefusal(f"HTTP {status}, but the response's body reports an error{named}", status, code=named[2:-1])


def _lacks_required(body: Any, step: Step, status: int) -> SlotError | None:
    for required in step.required:
        if not required.met_by(body):
            path = ".".join(map(str, required.path))
            return WebRefusal(f"HTTP {status}, but {path} of the answer is not what expected_answer names", status)
    return None


def _json_of(response: requests.Response) -> Any:
    try:
        return response.json() if response.content else None
    except (ValueError, RecursionError):
        return None
