"""What people ask is answered by a section that is two clicks from the start, fits a screen, and has the answer in it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.docs_pages import DOCS, links_of, sections_of, slug_of

#: What a screen holds: lines of 120 characters, a row of a table counted as two.
SCREEN_LINES = 50


@dataclass(frozen=True)
class Answer:
    """Where a question is answered.

    :param place: the page and the section's anchor, as a link from the docs folder.
    :param says: words that the answer must have.
    """

    question: str
    place: str
    says: tuple[str, ...]


#: The questions of a stranger who reviewed the docs: administrators, engineers, security officers, editors, leads.
STRANGER = (
    Answer("How do I change the client secret?", "how-to/rotate-the-secret.md#change-the-client-secret", ("ledger reseal", "open:")),
    Answer("Can two teams share an account or a ledger?", "how-to/ledger.md#share-it-between-two-teams", ("client", "audience")),
    Answer("How do I move the ledger to PostgreSQL?", "how-to/ledger.md#move-the-ledger-from-sqlite-to-postgresql", ("ledger migrate", "--sweep")),
    Answer("How do I upgrade and roll back?", "how-to/upgrade.md", ("ledger migrate", "older")),
    Answer("How do I back up the ledger, and what if it is lost?", "how-to/ledger.md#back-it-up-and-what-if-it-is-lost", ("valid_for", "reset the client secret")),
    Answer("Which hosts and ports go out?", "how-to/questions.md#which-hosts-and-ports-must-be-reached", ("api.matterport.com:443", "slack.com:443")),
    Answer("What do I install for a ledger in MySQL?", "how-to/questions.md#what-do-i-install-for-a-ledger-in-mysql", ("pme-airflow[mysql]",)),
    Answer("Which metrics are there?", "generated/metrics.md", ("pme.minted", "pme.exposure")),
    Answer("Is it licensed, and who answers for security?", "how-to/questions.md#who-answers-for-security-and-under-which-license-is-it", ("Apache 2.0",)),
    Answer("Why is my slot dark?", "how-to/why-dark.md", ("pme-airflow status", "paused")),
    Answer("How long does a link live, and after it was replaced?", "how-to/questions.md#how-long-does-a-link-live-and-how-long-after-it-was-replaced", ("24 hours", "15 minutes")),
    Answer("When is a new space published?", "how-to/questions.md#when-is-a-new-space-published", ("02:00", "keeper")),
    Answer("What are all keys of placements.yaml?", "generated/placements.md", ("`keep_every`", "`renew_before`")),
    Answer("How do I test without an account?", "how-to/questions.md#how-do-i-test-without-an-account", ("pme-airflow emulator",)),
    Answer("What does it cost in API calls?", "how-to/questions.md#what-does-it-cost-in-api-requests", ("1,000", "2 x models / 10")),
    Answer("Who sees what?", "generated/security.md#threat-model", ("Fernet key", "sealed")),
    Answer("Is an audience an access control?", "how-to/questions.md#is-an-audience-an-access-control", ("No.",)),
    Answer("How do I prove a revocation?", "how-to/questions.md#how-do-i-prove-that-a-link-was-revoked", ("ledger show", "export")),
    Answer("What if a link leaks while Airflow is down?", "leaks.md#revoke-it-now", ("up or down", "--stdin")),
    Answer("Who may start the leak response?", "how-to/questions.md#who-may-start-the-leak-response", ("trigger the DAG",)),
    Answer("What do I write in the page?", "how-to/wordpress.md#for-editors-where-the-space-goes-in-a-page", ("[pme model=",)),
    Answer("What about the page cache?", "how-to/wordpress.md#page-caches", ("15 minutes",)),
    Answer("How do I stop publishing one space?", "how-to/stop-publishing.md", ("retire --model", "`exclude`")),
    Answer("What if Airflow is down for a day?", "how-to/questions.md#what-if-airflow-is-down-for-a-day", ("11 h as shipped",)),
    Answer("What happens when the clocks change?", "how-to/questions.md#what-happens-on-the-night-when-the-clocks-change", ("25 hours", "UTC")),
)  # fmt: skip
#: The questions of somebody who finds the package on the registry and wants to use it.
NEWCOMER = (
    Answer("What is this, and what is it not?", "index.md", ("not an access control", "Airflow provider")),
    Answer("How do I see it work?", "tutorials/first-space.md", ("pme-airflow emulator", "pme-airflow init")),
    Answer("Which Airflow and Python do I need?", "reference/versions.md", ("3.1, 3.2, 3.3", "3.10 to 3.14")),
    Answer("How do I install it?", "how-to/install-and-connect.md#install", ("pip install", "--constraint")),
    Answer("Which extras are there?", "reference/versions.md#optional-parts", ("`slack`", "`postgres`")),
    Answer("How do I connect it to my account?", "how-to/install-and-connect.md#connect", ("Developer Tools", "pme_default")),
    Answer("Is my set-up right?", "how-to/install-and-connect.md#check", ("pme-airflow doctor", "unpause")),
    Answer("Which spaces are shown where?", "how-to/choose-models.md#write-a-placement", ("audience:", "targets:")),
    Answer("How do I publish to WordPress?", "how-to/wordpress.md#set-up", ("application password", "pages:")),
    Answer("How do I publish to Slack?", "how-to/slack.md#set-up", ("xoxb", "channel:")),
    Answer("How do I publish to S3?", "how-to/object-storage.md#set-up", ("pme-airflow[s3]", "s3://")),
    Answer("How do I publish to my headless CMS?", "how-to/headless-cms.md#directus-and-strapi", ("PATCH", "read_endpoint")),
    Answer("How do I publish to something else?", "how-to/write-a-target.md#a-class", ("def put", "def read_back")),
    Answer("How do I use it in a DAG of my own?", "how-to/write-a-target.md#a-task", ("PMEHook", "record_publication")),
    Answer("How do I leave my HttpOperators?", "how-to/from-http-operators.md#move", ("Pause your DAG",)),
    Answer("How do I run it on Kubernetes?", "how-to/kubernetes.md", ("ledger_conn_id", "FROM apache/airflow")),
    Answer("A link has leaked. What now?", "leaks.md#revoke-it-now", ("ledger flag --stdin --sweep",)),
    Answer("How do I watch it?", "operations.md#watch-slots-and-schedules", ("pme-airflow status", "exit status")),
    Answer("What is a tombstone?", "glossary.md#what-is-done-with-them", ("tombstone", "fingerprint")),
    Answer("What is in XCom?", "generated/xcom.md", ("never a token in clear", "`fingerprint`")),
    Answer("What does an operator take?", "generated/operators.md#pmemintlinksoperator", ("valid_for", "renew_before")),
    Answer("Why does no slot ever show nothing?", "explanation/make-before-break.md#one-slot-one-night", ("Read back", "Retire")),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def generated() -> None:
    """Write the generated pages, as ``make docs`` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS))
        generate = import_module("generate")
        generate.write_all(DOCS / "generated", generate.repository_address())


def clicks() -> dict[Path, int]:
    """Return how many clicks each page is away from the home page, by links in the pages' texts."""
    home = DOCS / "index.md"
    found, rim = {home: 0}, [home]
    for distance in (1, 2):
        rim = [page for start in rim for page, _ in links_of(start) if page not in found and page.suffix == ".md"]
        found |= dict.fromkeys(rim, distance)
        rim = [page for page in rim if page.is_file()]
    return found


@pytest.mark.parametrize("answer", [*STRANGER, *NEWCOMER], ids=lambda answer: slug_of(answer.question))
def test_each_question_is_answered_within_two_clicks_and_one_screen(answer: Answer) -> None:
    name, _, anchor = answer.place.partition("#")
    page = DOCS / name
    assert clicks()[page] <= 2
    text = page.read_text(encoding="utf-8")
    section = sections_of(text)[anchor] if anchor else screen_of(text)
    for words in answer.says:
        assert words.lower() in " ".join(section.lower().split())
    assert section == screen_of(section), "it takes more than a screen"


def screen_of(text: str) -> str:
    """Return what a screen shows of a text, from its first line."""
    shown, room = "", SCREEN_LINES
    for line in text.splitlines(keepends=True):
        room -= 2 if line.startswith("|") else 1
        if room < 0:
            break
        shown += line
    return shown


def test_as_many_questions_are_answered_as_were_asked() -> None:
    assert len(STRANGER) == 25
    assert len(NEWCOMER) >= 20
    assert len({answer.question for answer in (*STRANGER, *NEWCOMER)}) == len(STRANGER) + len(NEWCOMER)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("how-to/*.md")), ids=lambda page: page.stem)
def test_every_guide_is_one_click_away(page: Path) -> None:
    assert clicks()[page] == 1


def test_every_anchor_of_a_link_exists() -> None:
    missing = [
        (str(page.relative_to(DOCS)), str(target), anchor)
        for page in DOCS.rglob("*.md")
        if "_build" not in page.parts
        for target, anchor in links_of(page)
        if anchor and target.is_file() and anchor not in anchors_of(target)
    ]
    assert missing == []


def anchors_of(page: Path) -> set[str]:
    return set(sections_of(page.read_text(encoding="utf-8"))) | {slug_of(page.read_text().split("\n", 1)[0][2:])}
