"""Publish links to a Slack channel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pme_airflow.transfers.base import PMETransferOperator

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.targets.base import Target

__all__ = ["PMEToSlackOperator"]


class PMEToSlackOperator(PMETransferOperator):
    """Post one message for each model, and edit it in place from then on.

    :param links: items as ``PMEMintLinksOperator`` returns them.
    :param channel: the channel's name or id. (templated)
    :param slack_conn_id: the Slack provider's connection. (templated)
    """

    template_fields: Sequence[str] = (*PMETransferOperator.template_fields, "channel", "slack_conn_id")

    def __init__(self, *, links: Any, channel: str, slack_conn_id: str = "slack_api_default", **kwargs: Any) -> None:
        super().__init__(links=links, **kwargs)
        self.channel = channel
        self.slack_conn_id = slack_conn_id

    def make_target(self, hook: PMEHook) -> Target:
        from airflow.providers.slack.hooks.slack import SlackHook
        from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

        from pme_airflow.targets.slack import SlackTarget

        client_log = logging.getLogger(f"{__name__}.client")
        client_log.setLevel(logging.CRITICAL)  # below that it logs whole requests and responses with the link in them
        retries = [RateLimitErrorRetryHandler(max_retry_count=3)]
        slack = SlackHook(slack_conn_id=self.slack_conn_id, retry_handlers=retries, logger=client_log)
        return SlackTarget(slack.client, self.channel)
