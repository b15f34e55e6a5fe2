"""The operator that searches files and object stores for live links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from pme_airflow.airflow_compat import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from pme_airflow.lifecycle.scan import ScanResult

__all__ = ["PMEScanOperator"]

_MAX_LISTED = 10


class PMEScanOperator(BaseOperator):
    """Search files, folders, archives and object stores for the tokens of the ledger's live links.

    :param paths: files, folders, or URLs of any ``ObjectStoragePath``. (templated)
    :param git: git repositories whose history alone is searched; those below a folder in ``paths`` are too. (templated)
    :param since: how far back git history is searched, as in ``48h``; ``all`` for all of it. (templated)
    :param flag: whether to flag the links that are found, so that the next sweep revokes them.
    :param fail_on_find: whether the task fails if a link is found, as a check in a DAG does.
    :param reason: why; recorded in the ledger with each flag. (templated)
    :param pme_conn_id: the PME connection. (templated)
    :return: ``{"findings": [{fingerprint, link_id, model_id, audience, path, offset}], "problems": […]}``.
    """

    template_fields: Sequence[str] = ("paths", "git", "since", "reason", "pme_conn_id")
    ui_color = "#f9dede"

    def __init__(
        self,
        *,
        paths: Sequence[str] | str = (),
        git: Sequence[str] | str = (),
        since: str = "48h",
        flag: bool = False,
        fail_on_find: bool = False,
        reason: str = "found by a scan",
        pme_conn_id: str = "pme_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.paths = paths
        self.git = git
        self.since = since
        self.flag = flag
        self.fail_on_find = fail_on_find
        self.reason = reason
        self.pme_conn_id = pme_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        """Scan.

        :raises AirflowFailException: if something was found and ``fail_on_find`` is set, or a path cannot be searched
            and trying again cannot help; what was found in the rest is in XCom, and flagged.
        :raises AirflowException: if another part could not be searched, or what was found could not be flagged.
        """
        from pme_airflow.hooks.arguments import read_list
        from pme_airflow.hooks.pme import PMEHook, run_context_of
        from pme_airflow.hooks.scan_places import Places
        from pme_airflow.lifecycle.scan import ScanRequest, scan
        from pme_airflow.operators._errors import airflow_errors, push_result
        from pme_airflow.printable import printable

        with airflow_errors():
            places = Places(self.since)
            request = ScanRequest(
                read_list(self.paths),
                places.open,
                run_context_of(context),
                flag=self.flag,
                reason=self.reason,
                repositories=read_list(self.git),
                open_repository=places.open_repository,
            )
            result = scan(PMEHook(self.pme_conn_id).services, request)
        for finding in result.findings:
            self.log.warning("%s at %s, byte %d.", finding.fingerprint, printable(finding.path), finding.offset)
        push_result(context, result.as_json())
        self._fail_if_needed(result)
        return result.as_json()

    def _fail_if_needed(self, result: ScanResult) -> None:
        if result.problems:
            listed = "; ".join(result.problems[:_MAX_LISTED])
            kind = AirflowFailException if result.permanent else AirflowException
            raise kind(f"{len(result.problems)} parts were not read or flagged: {listed}")
        if result.findings and self.fail_on_find:
            raise AirflowFailException(
                f"{len(result.fingerprints)} live links were found where they do not belong. See the findings in XCom."
            )
