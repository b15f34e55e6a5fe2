"""Publish links to a target class of your own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pme_airflow.transfers.base import PMETransferOperator

if TYPE_CHECKING:
    from pme_airflow.hooks.pme import PMEHook
    from pme_airflow.targets.base import Target

__all__ = ["PMEToCustomTargetOperator"]


class PMEToCustomTargetOperator(PMETransferOperator):
    """Publish to a subclass of :class:`pme_airflow.targets.Target`.

    :param links: items as ``PMEMintLinksOperator`` returns them.
    :param target_class: its import path, ``package.module.Class``.
    :param options: the arguments of its constructor. (templated)
    """

    template_fields: Sequence[str] = (*PMETransferOperator.template_fields, "options")

    def __init__(
        self, *, links: Any, target_class: str, options: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(links=links, **kwargs)
        self.target_class = target_class
        self.options = options

    def make_target(self, hook: PMEHook) -> Target:
        from pme_airflow.errors import PMEInputError
        from pme_airflow.hooks.arguments import read_mapping
        from pme_airflow.targets.base import Target

        module, _, name = self.target_class.rpartition(".")
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError):
            found = None
        if not isinstance(found, type) or not issubclass(found, Target):
            raise PMEInputError(
                f"class: {self.target_class} is no subclass of Target that can be imported here. Put its module where "
                "every worker imports from, such as Airflow's plugins folder, and give its import path."
            )
        return found(**read_mapping(self.options, "options"))
