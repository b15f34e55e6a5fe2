"""Links to pages in object storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pme_airflow.transfers.base import PMETransferOperator

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.rotation.publish import Target

__all__ = ["PMEToObjectStorageOperator"]


class PMEToObjectStorageOperator(PMETransferOperator):
    """Write ``<model_id>/link.json``, ``<model_id>/embed.html`` and an ``index.html`` under a path.

    :param links: items as ``PMEMintLinksOperator`` returns them.
    :param path: any path ``ObjectStoragePath`` knows: ``file:///srv/embeds``, ``s3://bucket/embeds``. (templated)
    :param conn_id: the connection of the storage, where it needs one.
    """

    template_fields: Sequence[str] = (*PMETransferOperator.template_fields, "path", "conn_id")

    def __init__(self, *, links: Any, path: str, conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(links=links, **kwargs)
        self.path = path
        self.conn_id = conn_id

    def make_target(self, hook: PMEHook) -> Target:
        from airflow.sdk import ObjectStoragePath

        from pme_airflow.targets.object_storage import ObjectStorageTarget

        return ObjectStorageTarget(ObjectStoragePath(str(self.path), conn_id=self.conn_id))
