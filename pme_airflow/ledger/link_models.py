"""Which models a token opens, where it opens several.

Such a token has one row in ``pme_links``, whose ``model_id`` is :data:`SHARED`, and a row for each of its models in
``pme_link_models``. A link of one model names it in its own row, so that nothing more is read or written for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, FromClause, and_, delete, exists, func, or_, select

from pme_airflow.ledger.bulk import insert_missing, one_of
from pme_airflow.ledger.tables import link_models, links
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["SHARED", "add_models", "delete_models", "models_of", "named_models", "opening", "opens", "opens_model"]

#: The ``model_id`` of tokens that open several models. No model has such an id: theirs have 11 or 25 characters.
SHARED = "shared"
_CHUNK = 500

#: The model that a row of links opens, where they are outer-joined with ``link_models``.
opens: ColumnElement[str] = func.coalesce(link_models.c.model_id, links.c.model_id)


def opening(model_ids: Collection[str], tx: ReadTransaction | None = None) -> ColumnElement[bool]:
    """Return whether a link opens one of some models; answered from the same indexes for both kinds of tokens.

    :param tx: where it is executed, if there may be many models.
    """
    wanted = sorted(model_ids)
    own, one = (link_models.c.model_id, links.c.model_id)
    named = own.in_(wanted) if tx is None else one_of(tx, own, wanted)
    rows = one.in_([*wanted, SHARED]) if tx is None else one_of(tx, one, [*wanted, SHARED])
    listed = exists().where(link_models.c.link_id == links.c.link_id, named)
    return and_(rows, or_(one != SHARED, listed))


def opens_model(link: FromClause, model_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Return whether a link, of ``links`` or an alias of it, opens the model that another table names."""
    listed = link_models.alias()
    named = select(listed.c.link_id).where(listed.c.link_id == link.c.link_id, listed.c.model_id == model_id)
    also_opens = named.correlate_except(listed).exists()
    return and_(link.c.model_id.in_([model_id, SHARED]), or_(link.c.model_id != SHARED, also_opens))


def models_of(tx: ReadTransaction, link_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the models of tokens that open several, by link id, in alphabetical order."""
    found: dict[str, list[str]] = {}
    for start in range(0, len(link_ids), _CHUNK):
        which = one_of(tx, link_models.c.link_id, link_ids[start : start + _CHUNK])
        for link_id, model_id in tx.execute(select(link_models.c.link_id, link_models.c.model_id).where(which)):
            found.setdefault(link_id, []).append(model_id)
    return {link_id: tuple(sorted(model_ids)) for link_id, model_ids in found.items()}


def add_models(tx: WriteTransaction, models: Mapping[str, Sequence[str]]) -> None:
    """Record which models tokens open, by link id."""
    rows = [{"link_id": link_id, "model_id": model_id} for link_id, named in models.items() for model_id in named]
    insert_missing(tx, link_models, rows)


def delete_models(tx: WriteTransaction, link_ids: Sequence[str]) -> None:
    """Delete what is recorded of the models of links that are deleted."""
    tx.execute(delete(link_models).where(link_models.c.link_id.in_(list(link_ids))))


def named_models(model_ids: Sequence[str]) -> str:
    """Return models for a message: ``model yyHDFKzPzvN``, or ``models yyHDFKzPzvN and SxQL3iGyoDo``."""
    *others, last = model_ids
    return f"models {', '.join(others)} and {last}" if others else f"model {last}"
