"""Each key of the ledger's rows is built in one place, and keeps its spelling where rows with it exist."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import pme_airflow.ledger
from pme_airflow.ledger import keys

TARGET, SLOT = "slack:team#tours", "ModelAAAAAA"


def test_the_keys_of_stored_rows_keep_their_spelling() -> None:
    """Publications, manifests and rate limits outlive an upgrade: another spelling would lose them."""
    assert keys.slot_key(TARGET, SLOT) == hashlib.sha256(f"{TARGET}\n{SLOT}".encode()).hexdigest()
    assert keys.manifest_id(["a", "b"]) == "sha256:" + hashlib.sha256(b"a\nb").hexdigest()
    assert keys.rate_limit_key("https://h", "c") == hashlib.sha256(b"https://h\nc").hexdigest()


def test_claims_of_different_things_never_share_a_key() -> None:
    built = [
        keys.mint_claim("a", "x", "m"),
        keys.mint_claim("b", "x", "m"),
        keys.mint_claim("a", "y", "m"),
        keys.mint_claim("a", "x", "n"),
        keys.slot_claim(TARGET, SLOT),
        keys.slot_claim(TARGET, "other"),
        keys.slot_claim("other", SLOT),
        keys.slot_claim(TARGET, ""),
        keys.index_lock(TARGET),
        keys.index_lock("other"),
    ]
    assert len(set(built)) == len(built)


def test_listings_of_different_queries_never_share_a_key() -> None:
    built = [
        keys.listing_key("a", "x", "*", []),
        keys.listing_key("b", "x", "*", []),
        keys.listing_key("a", "y", "*", []),
        keys.listing_key("a", "x", "Mill", []),
        keys.listing_key("a", "x", "*", ["m"]),
        keys.listing_key("a", "x", "*", ["m", "n"]),
    ]
    assert len(set(built)) == len(built)


@pytest.mark.parametrize("key", [keys.mint_claim("c" * 200, "a" * 100, "m" * 32), keys.slot_claim("t" * 900, "s" * 900),
                                 keys.index_lock("t" * 900)])  # fmt: skip
def test_a_claim_fits_its_column_however_long_the_names_are(key: str) -> None:
    assert len(key) <= 200


def test_no_other_module_spells_a_key() -> None:
    """The claim on a mint once stood in three places; changing one let sweeps abandon living workers' mints."""
    folder = Path(pme_airflow.ledger.__file__).parent
    spelt = re.compile(r"""["'](mint|slot|finish):|hashlib\.|\bsha256\(""")
    others = {"keys.py", "storable.py", "run_context.py"}  # digests that are no keys: of long texts, and of tasks
    found = {path.name for path in folder.glob("*.py") if spelt.search(path.read_text(encoding="utf-8"))}
    assert found - others == set()
