from __future__ import annotations

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.model_ids import model_id_of, model_ids_of

ID = "yyHDFKzPzvN"


@pytest.mark.parametrize(
    "text",
    [
        ID,
        f"  {ID}\n",
        f"https://my.matterport.com/show/?m={ID}",
        f"https://my.matterport.com/show?play=1&m={ID}&auth=Bearer+abc",
        f"https://my.matterport.com/models/{ID}",
        f"https://my.matterport.com/models/{ID}?section=media",
        f"https://authenticated.matterport.com/models/{ID}/edit",
    ],
)
def test_a_model_id_is_read_out_of_an_id_or_a_share_url(text: str) -> None:
    assert model_id_of(text) == ID


VIEW = "3k5wz1a8f0q2x7c9v6b4n1m8p"


@pytest.mark.parametrize("text", [VIEW, f"https://my.matterport.com/show/?m={VIEW}&play=1"])
def test_a_views_id_is_accepted_in_place_of_a_models(text: str) -> None:
    assert model_id_of(text) == VIEW


@pytest.mark.parametrize("text", [VIEW.upper(), VIEW[:-1], VIEW + "a", VIEW[:-1] + "-", f"https://x/?m={VIEW}x"])
def test_what_is_nearly_a_views_id_is_refused(text: str) -> None:
    with pytest.raises(PMEInputError):
        model_id_of(text)


@pytest.mark.parametrize(
    "value",
    ["", "abc", ID + "x", ID[:-1], "yyHDFKzPzv-", "yyHDFKzPzv\u0661", "https://my.matterport.com/show", 17, None, True,
     "https://[", "../../etc/pw", f"{ID}\n{ID}", f"https://x/?m={ID}x", f"https://x/models/{ID}x"],
)  # fmt: skip
def test_what_holds_no_model_id_is_refused_by_the_settings_name(value: object) -> None:
    with pytest.raises(PMEInputError, match=r"^pages: "):
        model_id_of(value, "pages")


@pytest.mark.parametrize(
    "text", [f"https://my.matterport.com/show?x={ID}&auth=Bearer+s3cret", "s3cret" * 6, "auth=s3cret"]
)
def test_a_refused_text_that_may_hold_a_token_is_not_repeated(text: str) -> None:
    with pytest.raises(PMEInputError) as caught:
        model_id_of(text)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("length", "quoted"), [(16, True), (17, False)])
def test_a_refused_text_is_quoted_only_where_it_is_too_short_for_a_token(length: int, quoted: bool) -> None:
    with pytest.raises(PMEInputError) as caught:
        model_id_of("x" * length)
    assert ("x" * length in str(caught.value)) is quoted


def test_ids_are_read_each_once_in_the_order_given() -> None:
    assert model_ids_of(["SxQL3iGyoDo", ID, f"https://x/?m={ID}", "SxQL3iGyoDo"]) == ["SxQL3iGyoDo", ID]


def test_an_empty_list_of_models_is_refused_with_the_query_that_means_all() -> None:
    with pytest.raises(PMEInputError, match=r"empty.*query"):
        model_ids_of([])
