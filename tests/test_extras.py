"""A missing library is named with the extra that brings it."""

from __future__ import annotations

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.extras import needs_extra


def test_missing_library_is_named_with_its_extra() -> None:
    words = r"no_such_library is not installed: run pip install 'pme-airflow\[s3\]'"
    with pytest.raises(PMEInputError, match=words), needs_extra("s3"):
        import no_such_library  # noqa: F401


def test_error_without_a_name_names_the_extra_all_the_same() -> None:
    with pytest.raises(PMEInputError, match=r"a library .* 'pme-airflow\[slack\]'"), needs_extra("slack"):
        raise ImportError("needs something")


def test_block_without_a_missing_library_runs() -> None:
    with needs_extra("s3"):
        done = True
    assert done
