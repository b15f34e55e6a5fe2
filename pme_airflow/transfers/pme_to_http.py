"""Publish links to a JSON API over HTTP."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pme_airflow.transfers.base import PMETransferOperator

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.targets.base import Target

__all__ = ["PMEToHttpOperator"]


class PMEToHttpOperator(PMETransferOperator):
    """Send each link to a JSON API.

    The endpoint, headers and body are templates over an item: ``{model_id} {audience} {link} {access_token}
    {valid_until} {link_id}``. They are filled in when a link is sent, so that rendered fields never contain one.

    :param links: items as ``PMEMintLinksOperator`` returns them.
    :param endpoint: the path under the connection's address, for example ``items/spaces/{model_id}``.
    :param json: the body.
    :param http_conn_id: Airflow's HTTP connection.
    :param method: the HTTP method.
    :param headers: further headers; ``Idempotency-Key`` is set if it is not among them.
    :param expected_statuses: the statuses that count as success.
    :param read_endpoint: the endpoint that readers get the link from; it is read after each write.
    :param clear_json: the body that clears a slot, for a model that is no longer listed.
    :param timeout: seconds to wait for a response.
    """

    template_fields: Sequence[str] = (*PMETransferOperator.template_fields, "http_conn_id")

    def __init__(
        self,
        *,
        links: Any,
        endpoint: str,
        json: Any,
        http_conn_id: str = "http_default",
        method: str = "PATCH",
        headers: Mapping[str, str] | None = None,
        expected_statuses: Collection[int] = (200, 201, 202, 204),
        read_endpoint: str | None = None,
        clear_json: Any = None,
        timeout: float = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(links=links, **kwargs)
        self.endpoint = endpoint
        self.json = json
        self.http_conn_id = http_conn_id
        self.method = method
        self.headers = dict(headers or {})
        self.expected_statuses = tuple(expected_statuses)
        self.read_endpoint = read_endpoint
        self.clear_json = clear_json
        self.timeout = timeout

    def make_target(self, hook: PMEHook) -> Target:
        from pme_airflow.hooks.http import http_session
        from pme_airflow.targets.http_json import HttpJsonTarget, http_target_name

        session, base_url = http_session(self.http_conn_id)
        return HttpJsonTarget(
            session,
            base_url,
            http_target_name(base_url, self.endpoint),
            former_names=[f"http:{self.http_conn_id}"],
            method=self.method,
            endpoint=self.endpoint,
            json=self.json,
            headers=self.headers,
            expected=self.expected_statuses,
            read_endpoint=self.read_endpoint,
            clear_json=self.clear_json,
            timeout=self.timeout,
        )
