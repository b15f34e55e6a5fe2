"""The limits that the page on leaks names are those of the code."""

from __future__ import annotations

from pme_airflow.leaks import archives, decompression
from tests.support.home import ROOT


def test_the_limits_of_archives_are_those_of_the_code() -> None:
    page = (ROOT / "docs/leaks.md").read_text()
    mib = 1 << 20
    for text in (
        f"{archives.MAX_EXPANDED_BYTES >> 30} GiB unpacked, or {archives.MAX_EXPANSION_RATIO} times the file's own size",
        f"{archives.MAX_ARCHIVE_MEMBERS:,} members",
        f"{archives.MAX_ARCHIVE_LEVELS} archives inside one another",
        f"{archives.MAX_NESTED_ZIP_BYTES // mib} MiB of zip archives and mails inside other archives",
        f"{decompression.MAX_DICTIONARY_BYTES // mib} MiB of memory for an xz or LZMA stream; "
        f"{decompression.MAX_NESTED_DICTIONARY_BYTES // mib} MiB for one inside another",
    ):
        assert text in page
