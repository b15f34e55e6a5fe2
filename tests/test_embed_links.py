"""Links of the documented form, built of tokens."""

from __future__ import annotations

from pme_airflow.embed_links import link_of, show_address
from pme_airflow.secrets import AccessToken


def test_a_link_is_built_and_taken_apart() -> None:
    link = link_of("yyHDFKzPzvN", AccessToken("abc"))
    assert link.reveal() == "https://my.matterport.com/show?m=yyHDFKzPzvN&auth=Bearer+abc"
    assert show_address(link) == "https://my.matterport.com/show"
    assert (
        link_of("x", AccessToken("abc"), "http://127.0.0.1:1/show").reveal().startswith("http://127.0.0.1:1/show?m=x&")
    )


def test_nothing_in_an_id_or_a_token_ends_its_parameter() -> None:
    assert link_of("a&b=c", AccessToken('"<d')).reveal().endswith("?m=a%26b%3Dc&auth=Bearer+%22%3Cd")
