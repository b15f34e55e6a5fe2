"""Which links are shown, and where a page may load the SDK from."""

from __future__ import annotations

import pytest

from pme_airflow.errors import PMEInputError, SlotError
from pme_airflow.targets.addresses import checked_link, checked_sdk_url
from tests.support.links import TOKEN_A


@pytest.mark.parametrize(
    "link",
    [
        f"https://my.matterport.com/show?m=Model000000&auth=Bearer+{TOKEN_A}",
        f"https://my.matterport.com/show/?m=Model000000&auth=Bearer%20{TOKEN_A}",
        f"http://127.0.0.1:8000/show?m=Model000000&auth=Bearer+{TOKEN_A}",
        "http://localhost:8000/show",
    ],
)
def test_link_may_be_https_or_of_this_machine(link: str) -> None:
    assert checked_link(link).path.startswith("/show")


@pytest.mark.parametrize(
    "link",
    ["", "show?m=1", "javascript:alert(1)", "data:text/html,x", "ftp://my.matterport.com/", "http://my.matterport.com/show",
     "https://a:b@my.matterport.com/", "https://my.matterport.com\\@evil.example/", "https://my.matterport.com/\nshow",
     "http://127.0.0.1.evil.example/", "//my.matterport.com/show"],
)  # fmt: skip
def test_other_link_is_refused_without_its_text(link: str) -> None:
    with pytest.raises(SlotError) as failure:
        checked_link(link)
    assert failure.value.permanent
    assert not link or link not in str(failure.value)


@pytest.mark.parametrize("sdk_url", ["", "/sdk/index.esm.js", "sdk.js", "../sdk.js?v=1", "https://cdn.example/sdk.js"])
def test_sdk_may_be_of_the_pages_server_or_https(sdk_url: str) -> None:
    assert checked_sdk_url(sdk_url) == sdk_url


@pytest.mark.parametrize(
    "sdk_url",
    ["javascript:alert(1)", "data:,1", "http://cdn.example/sdk.js", "//cdn.example/sdk.js", "/\\cdn.example/a"],
)
def test_other_sdk_address_is_refused(sdk_url: str) -> None:
    with pytest.raises(PMEInputError, match="sdk_url"):
        checked_sdk_url(sdk_url)
