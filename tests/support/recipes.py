"""The shipped recipes as tests run them: the very files, over a connection of a test's own."""

from __future__ import annotations

from typing import Any

import requests
import yaml

from pme_airflow.dev.playground.home import ROOT
from pme_airflow.placements import check
from pme_airflow.recipes import recipe_of, slot_source
from pme_airflow.secrets import SecretStr
from pme_airflow.targets.http_signers import signer_of
from pme_airflow.targets.http_steps import HttpStepsTarget, http_target_name

FOLDER = ROOT / "extras" / "recipes"
#: The recipes by name.
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def options_of(name: str) -> dict[str, Any]:
    """A recipe's keys, as a placement's target has them once the placement was accepted."""
    target = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    placement = {"audience": "intranet", "models": ["yyHDFKzPzvN"], "targets": [target]}
    (checked,) = check(yaml.safe_dump(placement))
    return dict(checked.targets[0].options)


def target_of(
    name: str, address: str, *, login: str = "", password: str = "", headers: dict[str, str] | None = None
) -> HttpStepsTarget:
    """A recipe's target, as a task makes it."""
    options = options_of(name)
    recipe, hidden = recipe_of(options), SecretStr(password)
    session = requests.Session()
    session.headers.update(headers or {})
    if recipe.signer:
        session.auth = signer_of(recipe.signer, hidden)
    elif login:
        session.auth = (login, password)
    named = http_target_name(address, slot_source(options))
    return HttpStepsTarget(session, address, named, recipe, timeout=20, login=login, password=hidden)
