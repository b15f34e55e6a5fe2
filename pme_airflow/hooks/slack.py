"""Clients for the Slack provider's connections, whose addresses are checked before anything is sent to them."""

from __future__ import annotations

import logging

from airflow.providers.slack.hooks.slack import SlackHook
from airflow.providers.slack.utils import ConnectionExtraConfig
from slack_sdk import WebClient

from pme_airflow.hooks.http import checked_address
from pme_airflow.targets.slack_client import RateLimitHandler

__all__ = ["slack_client"]

_RATE_LIMIT_TRIES = 3


def slack_client(conn_id: str) -> WebClient:
    """Return a client with a Slack connection's token and settings.

    :raises PMEInputError: for a ``base_url`` that is no http(s) address, or plain http to another machine.
    """
    client_log = logging.getLogger(f"{__name__}.client")
    client_log.setLevel(logging.CRITICAL)  # at lower levels it logs whole requests and responses, with the link in them
    retries = [RateLimitHandler(max_retry_count=_RATE_LIMIT_TRIES)]
    hook = SlackHook(slack_conn_id=conn_id, retry_handlers=retries, logger=client_log)
    extra = hook.get_connection(conn_id).extra_dejson
    base_url = ConnectionExtraConfig(hook.conn_type, conn_id, extra).get("base_url", default=None)
    if base_url:
        checked_address(str(base_url), f"connection {conn_id}, base_url in Extra", conn_id, extra)
    client: WebClient = hook.client
    return client
