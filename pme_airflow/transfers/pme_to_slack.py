"""Publish links to a Slack channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pme_airflow.extras import needs_extra, require_extra
from pme_airflow.transfers.base import PMETransferOperator

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.targets.base import Target

__all__ = ["PMEToSlackOperator"]


class PMEToSlackOperator(PMETransferOperator):
    """Post one message for each model, or a list of them, and edit it in place from then on.

    :param links: items as ``PMEMintLinksOperator`` returns them.
    :param channel: the channel's name or id. (templated)
    :param slack_conn_id: the Slack provider's connection. (templated)
    :param layout: ``message`` for a message for each model, ``list`` for one list of all. (templated)
    :raises PMEInputError: if the extra ``slack`` is not installed; before a run could mint anything.
    """

    template_fields: Sequence[str] = (*PMETransferOperator.template_fields, "channel", "slack_conn_id", "layout")

    def __init__(
        self,
        *,
        links: Any,
        channel: str,
        slack_conn_id: str = "slack_api_default",
        layout: str = "message",
        **kwargs: Any,
    ) -> None:
        require_extra("slack")
        super().__init__(links=links, **kwargs)
        self.channel = channel
        self.slack_conn_id = slack_conn_id
        self.layout = layout

    def make_target(self, hook: PMEHook) -> Target:
        with needs_extra("slack"):
            from pme_airflow.hooks.slack import slack_client
            from pme_airflow.targets.slack import SlackTarget

        return SlackTarget(slack_client(self.slack_conn_id), self.channel, layout=self.layout)
