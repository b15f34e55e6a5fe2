"""Publish links as pages in object storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink

from pme_airflow.extras import require_store
from pme_airflow.transfers.base import PMETransferOperator

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.targets.base import Target

__all__ = ["PMEGalleryLink", "PMEToObjectStorageOperator"]


class PMEGalleryLink(BaseOperatorLink):
    """Opens the published gallery. It is not a presigned address, which would show links to everybody who sees it."""

    name = "Gallery"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the gallery's address; it contains no token."""
        base = str(getattr(operator, "public_url", "") or "")
        return f"{base.rstrip('/')}/index.html" if base else ""


class PMEToObjectStorageOperator(PMETransferOperator):
    """Write ``<model_id>/link.json``, ``<model_id>/embed.html`` and an ``index.html`` under a path.

    :param links: items as ``PMEMintLinksOperator`` returns them.
    :param path: any path that ``ObjectStoragePath`` supports, such as ``s3://bucket/embeds``. (templated)
    :param conn_id: the storage's connection, if it needs one. (templated)
    :param sdk_url: the address of the vendor's SDK for Embeds, which gives open spaces each new link.
    :param sdk_key: your SDK key.
    :param public_url: the address at which people open the path; the task has a link to it. (templated)
    :param storage_options: what files in S3 are written with, as S3 spells it: ``ServerSideEncryption``,
        ``SSEKMSKeyId``, ``BucketKeyEnabled``, ``ACL``, ``StorageClass``, ``Tagging`` and others. The connection's Extra
        may hold them under the same name; what is given here comes first. (templated)
    :param at_once: how many slots are written at the same time, from 1 to 32.
    :raises PMEInputError: if what the path's store needs is not installed; before a run could mint anything.
    """

    template_fields: Sequence[str] = (
        *PMETransferOperator.template_fields,
        "path",
        "conn_id",
        "public_url",
        "storage_options",
    )
    operator_extra_links = (PMEGalleryLink(),)

    def __init__(
        self,
        *,
        links: Any,
        path: str,
        conn_id: str | None = None,
        sdk_url: str = "",
        sdk_key: str = "",
        public_url: str = "",
        storage_options: Mapping[str, Any] | None = None,
        at_once: int = 8,
        **kwargs: Any,
    ) -> None:
        require_store(path, "path")
        super().__init__(links=links, **kwargs)
        self.path = path
        self.conn_id = conn_id
        self.sdk_url = sdk_url
        self.sdk_key = sdk_key
        self.public_url = public_url
        self.storage_options = storage_options
        self.at_once = at_once

    def make_target(self, hook: PMEHook) -> Target:
        from pme_airflow.hooks.arguments import read_mapping
        from pme_airflow.hooks.object_storage import storage_root
        from pme_airflow.targets.object_storage import ObjectStorageTarget

        root, options = storage_root(str(self.path), self.conn_id)
        storage_options = {**options, **read_mapping(self.storage_options, "storage_options")}
        return ObjectStorageTarget(
            root,
            sdk_url=self.sdk_url,
            sdk_key=self.sdk_key,
            storage_options=storage_options,
            at_once=self.at_once,
        )
