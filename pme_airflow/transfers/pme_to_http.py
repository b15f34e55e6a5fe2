"""Publish links to a JSON API over HTTP."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pme_airflow.transfers.base import PMETransferOperator

if TYPE_CHECKING:
    import requests

    from pme_airflow.hooks.http import HttpCredentials
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.targets.base import Target

__all__ = ["PMEToHttpOperator"]

#: The arguments of a single request that are checked.
_CHECKED = (
    "clear_json", "each", "endpoint", "expected_statuses", "group", "headers", "json", "method", "read_endpoint",
    "timeout",
)  # fmt: skip


class PMEToHttpOperator(PMETransferOperator):
    """Send each link to a JSON API: by one request, or by the steps of a recipe.

    One request has ``endpoint`` and ``json``. The endpoint, headers and body are templates over an item: ``{model_id}
    {audience} {link} {access_token} {valid_until} {link_id}``. They are filled in when a link is sent, so that rendered
    fields never contain one.

    A recipe has ``steps``, whose templates are ``{{ model_id }}`` and so on, and what earlier steps keep of an answer.

    :param links: items as ``PMEMintLinksOperator`` returns them.
    :param endpoint: the path under the connection's address, for example ``items/spaces/{model_id}``.
    :param json: the body.
    :param http_conn_id: Airflow's HTTP connection.
    :param method: the HTTP method.
    :param headers: further headers; ``Idempotency-Key`` is set if it is not among them. Those that need no link are
        sent when a slot is read and cleared too.
    :param expected_statuses: the status that counts as success, or several.
    :param read_endpoint: the endpoint that readers get the link from; it is read after each write.
    :param clear_json: the body that clears a slot, for a model that is no longer listed; it may name ``{model_id}`` and
        ``{audience}``.
    :param timeout: seconds to wait for a response.
    :param at_once: how many slots are written at the same time, from 1 to 32; 4 if omitted, and 1 with ``steps``.
    :param group: whether one request writes all models of an audience; a text ``{spaces}`` in ``json`` becomes their
        list.
    :param each: what the list has of each model, a template that may also name ``{name}``; with ``group``. If omitted,
        an object with ``model_id``, ``name``, ``link`` and ``valid_until``.
    :param steps: the requests that put a link in place, each a mapping, in place of ``endpoint`` and ``json``.
    :param read_back: the requests that read a slot as a reader does; the last answer must show the link.
    :param take_away: the requests that clear a slot.
    :param check: the requests by which ``pme-airflow doctor`` checks the set-up; they change nothing.
    :param slot: the name of a slot, with ``{{ model_id }}`` in it.
    :param texts: templates that the steps name, such as an iframe.
    :param keeps_old: whether the place keeps replaced versions: then a replaced link is revoked without a grace period.
    :param signer: ``ghost``, to sign requests with the connection's password in place of its credentials.
    """

    template_fields: Sequence[str] = (*PMETransferOperator.template_fields, "http_conn_id")

    def __init__(
        self,
        *,
        links: Any,
        endpoint: str | None = None,
        json: Any = None,
        http_conn_id: str = "http_default",
        method: str = "PATCH",
        headers: Mapping[str, str] | None = None,
        expected_statuses: int | Collection[int] = (200, 201, 202, 204),
        read_endpoint: str | None = None,
        clear_json: Any = None,
        timeout: float = 30.0,
        at_once: int | None = None,
        group: bool = False,
        each: Any = None,
        steps: Sequence[Mapping[str, Any]] | None = None,
        read_back: Sequence[Mapping[str, Any]] | None = None,
        take_away: Sequence[Mapping[str, Any]] | None = None,
        check: Sequence[Mapping[str, Any]] | None = None,
        slot: str | None = None,
        texts: Mapping[str, str] | None = None,
        keeps_old: bool | None = None,
        signer: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(links=links, **kwargs)
        self.endpoint = endpoint
        self.json = json
        self.http_conn_id = http_conn_id
        self.method = method
        self.headers = headers or {}
        self.expected_statuses = expected_statuses
        self.read_endpoint = read_endpoint
        self.clear_json = clear_json
        self.timeout = timeout
        self.at_once = at_once
        self.group = group
        self.each = each
        self.signer = signer
        given = {"steps": steps, "read_back": read_back, "take_away": take_away, "check": check, "slot": slot}
        self.recipe = {
            key: value for key, value in {**given, "texts": texts, "keeps_old": keeps_old}.items() if value is not None
        }
        if "steps" in self.recipe and (endpoint is not None or read_endpoint is not None or clear_json is not None):
            raise ValueError("steps: stands in place of endpoint, json, read_endpoint and clear_json; give one form.")
        if self.recipe and "steps" not in self.recipe:
            raise ValueError(f"{', '.join(sorted(self.recipe))}: need steps; a single request has other arguments.")
        _check_form(self, is_single=not self.recipe and endpoint is not None)

    @property
    def _statuses(self) -> Collection[int]:
        return (self.expected_statuses,) if isinstance(self.expected_statuses, int) else self.expected_statuses

    def make_target(self, hook: PMEHook) -> Target:
        from pme_airflow.hooks.http import http_credentials, http_session
        from pme_airflow.targets.http_signers import signer_of

        session, base_url = http_session(self.http_conn_id)
        credentials = http_credentials(self.http_conn_id)
        if self.signer:
            session.auth = signer_of(self.signer, credentials.password)
        if "steps" in self.recipe:
            return self._steps_target(session, base_url, credentials)
        return self._single_target(session, base_url)

    def _steps_target(self, session: requests.Session, base_url: str, credentials: HttpCredentials) -> Target:
        from pme_airflow.recipes import recipe_of, slot_source
        from pme_airflow.targets.http_steps import HttpStepsTarget, http_target_name

        recipe = recipe_of(self.recipe)
        name = http_target_name(base_url, slot_source(self.recipe))
        return HttpStepsTarget(
            session,
            base_url,
            name,
            recipe,
            timeout=self.timeout,
            login=credentials.login,
            password=credentials.password,
            at_once=1 if self.at_once is None else self.at_once,
        )

    def _single_target(self, session: requests.Session, base_url: str) -> Target:
        from pme_airflow.errors import PMEInputError
        from pme_airflow.targets.http_json import HttpJsonTarget, http_target_name

        if self.endpoint is None:
            raise PMEInputError("is missing: give endpoint and json, or steps.", "endpoint")
        if self.group:
            return self._group_target(session, base_url, http_target_name(base_url, self.endpoint), self.endpoint)
        return HttpJsonTarget(
            session,
            base_url,
            http_target_name(base_url, self.endpoint),
            former_names=[f"http:{self.http_conn_id}"],
            method=self.method,
            endpoint=self.endpoint,
            json=self.json,
            headers=self.headers,
            expected=self._statuses,
            read_endpoint=self.read_endpoint,
            clear_json=self.clear_json,
            timeout=self.timeout,
            at_once=4 if self.at_once is None else self.at_once,
        )

    def _group_target(self, session: requests.Session, base_url: str, name: str, endpoint: str) -> Target:
        from pme_airflow.targets.http_group import DEFAULT_EACH, GroupRequest, HttpGroupTarget

        request = GroupRequest(
            method=self.method.upper(),
            endpoint=endpoint,
            json=self.json,
            each=DEFAULT_EACH if self.each is None else self.each,
            headers=self.headers,
            expected=self._statuses,
            read_endpoint=self.read_endpoint,
        )
        return HttpGroupTarget(session, base_url, name, request, timeout=self.timeout)


def _check_form(operator: PMEToHttpOperator, *, is_single: bool) -> None:
    """Check a request when the DAG is parsed, before a link is minted for it.

    :raises ValueError: with all that is wrong, a line each.
    """
    from pme_airflow.recipes import check_request, check_timeout
    from pme_airflow.recipes.fields import Fields

    given = {key: getattr(operator, key) for key in _CHECKED}
    options = {key: value for key, value in given.items() if value is not None or key == "json"}
    fields = Fields()
    (check_request if is_single else check_timeout)(options, fields)
    if fields.problems:
        raise ValueError("\n".join(f"{key}: {problem}" for key, problem in fields.problems))
