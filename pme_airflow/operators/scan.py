"""The operator that looks for live links where they do not belong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

__all__ = ["PMEScanOperator"]


class PMEScanOperator(BaseOperator):
    """Search files, trees, archives and object stores for the very tokens the ledger holds alive.

    :param paths: files, folders, or URLs any ``ObjectStoragePath`` knows. (templated)
    :param flag: whether what is found is flagged, so that the next sweep revokes it.
    :param fail_on_find: whether the task fails where something is found, as a check in a DAG does.
    :param reason: why, kept in the ledger with each flag. (templated)
    :param pme_conn_id: the PME connection.
    :return: ``{"findings": [{fingerprint, link_id, model_id, audience, path, offset}], "problems": […]}``.
    """

    template_fields: Sequence[str] = ("paths", "reason", "pme_conn_id")
    ui_color = "#f9dede"

    def __init__(
        self,
        *,
        paths: Sequence[str] | str,
        flag: bool = False,
        fail_on_find: bool = False,
        reason: str = "found by a scan",
        pme_conn_id: str = "pme_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.paths = paths
        self.flag = flag
        self.fail_on_find = fail_on_find
        self.reason = reason
        self.pme_conn_id = pme_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        """Scan.

        :raises AirflowFailException: where a path names nothing, or something was found and ``fail_on_find`` is set.
        :raises AirflowException: where a part could not be read; what was found in the rest is in XCom, and flagged.
        """
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.hooks.scan_places import scan_place
        from pme_airflow.leaks.archives import Scan
        from pme_airflow.lifecycle.scan import live_tokens
        from pme_airflow.operators._errors import airflow_errors, push_result

        places = [self.paths] if isinstance(self.paths, str) else list(self.paths)
        if not places:
            raise AirflowFailException("paths: is empty. Name at least one file, folder or URL.")
        with airflow_errors():
            hook = PMEHook(self.pme_conn_id)
            haystack = live_tokens(hook.services)
            scan = Scan(haystack.needles)
            found = [told for place in places for told in haystack.told(scan.hits(scan_place(scan, place)))]
            marks = sorted({told["fingerprint"] for told in found})
            if self.flag and marks:
                hook.flag(tokens=marks, reason=self.reason, run_context=run_context_of(context))
        result = {"findings": found, "problems": scan.problems}
        for told in found:
            self.log.warning("%s at %s, byte %d.", told["fingerprint"], told["path"], told["offset"])
        if scan.problems:
            push_result(context, result)
            raise AirflowException(f"{len(scan.problems)} parts were not read: {'; '.join(scan.problems[:10])}")
        if found and self.fail_on_find:
            push_result(context, result)
            raise AirflowFailException(f"{len(marks)} live links stand where they do not belong; see the findings.")
        return result
