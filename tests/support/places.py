"""The places of the shared nights: a real WordPress, a real Directus, S3 on moto's server, a strict Slack, and files."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import boto3
import requests
from moto.server import ThreadedMotoServer
from slack_sdk import WebClient
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from pme_airflow.dev.emulator.server import serving_app
from pme_airflow.dev.playground.channel import Channel, create_channel_app
from pme_airflow.dev.playground.wordpress import Site
from pme_airflow.dev.target_kit import BehindProxy
from pme_airflow.targets.base import Target
from pme_airflow.targets.http_group import DEFAULT_EACH, GroupRequest, HttpGroupTarget
from pme_airflow.targets.object_storage import ObjectStorageTarget
from pme_airflow.targets.slack import SlackTarget
from pme_airflow.targets.wordpress import WordPressTarget
from tests.support.entries import Entries
from tests.support.headless import Headless
from tests.support.proxy import Proxy, serving_proxy
from tests.support.recipes import target_of

BEFORE, AFTER = '<!-- wp:paragraph --><p>Before &amp; "after" — ünï 😀</p><!-- /wp:paragraph -->\n\n', "\n\n<p>Tail</p>"


class WordPressPlace(BehindProxy):
    """Pages, posts or a custom type of a site; ``clean`` says whether its revisions can be deleted."""

    def __init__(self, proxy: Proxy, site: Site, models: Sequence[str], kind: str = "pages", *, clean: bool) -> None:
        super().__init__(proxy)
        self.site, self.kind, self.keeps_old = site, kind, not clean
        self.pages = {m: site.page(f"{BEFORE}[pme model={m}]{AFTER}", kind=kind) for m in models}

    def target(self) -> Target:
        session = requests.Session()
        session.auth = (self.site.user, self.site.password)
        return WordPressTarget(session, self.proxy.address, self.pages, kind=self.kind, timeout=20)

    def shown(self, model_id: str) -> str:
        found = self.site.call("GET", f"{self.kind}/{self.pages[model_id]}", anonymous=True)
        return html.unescape(found["content"]["rendered"])

    def everything(self) -> str:
        held = []
        for page in self.pages.values():
            held += [self.site.kept(page, self.kind), self.site.seen(page, self.kind)]
        return html.unescape("".join(held))

    def live_on(self) -> None:
        """Somebody opens each page in the editor, which saves a draft of what they see, the link of today in it."""
        for page in self.pages.values():
            draft = f"{self.site.content(page, self.kind)} and more"
            self.site.call("POST", f"{self.kind}/{page}/autosaves", {"content": draft})
            assert draft in self.site.kept(page, self.kind)

    def check_untouched(self) -> None:
        for page in self.pages.values():
            content = self.site.content(page, self.kind)
            assert content.startswith(BEFORE)
            assert content.endswith(AFTER)


class WordPressPageOfAll(WordPressPlace):
    """One page that shows all models."""

    def __init__(self, proxy: Proxy, site: Site, models: Sequence[str]) -> None:
        super().__init__(proxy, site, (), clean=True)
        places = "\n\n".join(f"[pme model={model_id}]" for model_id in models)
        self.pages = dict.fromkeys(models, site.page(f"{BEFORE}{places}{AFTER}"))


class EditedPlace(BehindProxy):
    """Entries of a CMS without versions, in which somebody edits another field while links are written.

    :ivar edits: how often that has happened.
    """

    #: Every which request is followed by an edit at once.
    every = 5

    def __init__(self, proxy: Proxy, cms: Headless, models: Sequence[str]) -> None:
        super().__init__(proxy)
        self.cms, self.requests, self.edits = cms, 0, 0
        self.notes = {model_id: f"kept {model_id}" for model_id in models}
        proxy.after = self._edit_now_and_then

    def edit(self, model_id: str, note: str) -> None:
        """Change the note of an entry."""
        raise NotImplementedError

    def _edit_now_and_then(self, method: str, path: str) -> None:
        self.requests += 1
        if self.requests % self.every == 0:
            self.edits += 1
            model_id = list(self.notes)[self.edits % len(self.notes)]
            self.notes[model_id] = f"edited {self.edits}"
            self.edit(model_id, self.notes[model_id])


class DirectusPlace(EditedPlace):
    """Items of a collection, an item a model, which anybody may read."""

    def __init__(self, proxy: Proxy, cms: Headless, models: Sequence[str]) -> None:
        super().__init__(proxy, cms, models)
        for model_id, note in self.notes.items():
            cms.call("POST", "items/spaces", {"id": model_id, "note": note})

    def edit(self, model_id: str, note: str) -> None:
        self.cms.call("PATCH", f"items/spaces/{model_id}", {"note": note})

    def target(self) -> Target:
        return target_of("directus", self.proxy.address, headers={"Authorization": f"Bearer {self.cms.token}"})

    def shown(self, model_id: str) -> str:
        return json.dumps(self.cms.call("GET", f"items/spaces/{model_id}", anonymous=True))

    def everything(self) -> str:
        return json.dumps([self.cms.call("GET", path) for path in ("items/spaces", "revisions", "activity")])

    def check_untouched(self) -> None:
        for item in self.cms.call("GET", "items/spaces")["data"]:
            assert item["note"] == self.notes[item["id"]]


class StrapiPlace(EditedPlace):
    """Entries of a type, an entry a model, which anybody may read."""

    def __init__(self, proxy: Proxy, cms: Headless, models: Sequence[str]) -> None:
        super().__init__(proxy, cms, models)
        self.ids: dict[str, str] = {}
        for model_id, note in self.notes.items():
            made = cms.call("POST", "api/spaces", {"data": {"model_id": model_id, "note": note}})
            self.ids[model_id] = made["data"]["documentId"]

    def edit(self, model_id: str, note: str) -> None:
        self.cms.call("PUT", f"api/spaces/{self.ids[model_id]}", {"data": {"note": note}})

    def target(self) -> Target:
        return target_of("strapi", self.proxy.address, headers={"Authorization": f"Bearer {self.cms.token}"})

    def shown(self, model_id: str) -> str:
        return json.dumps(self.cms.call("GET", f"api/spaces/{self.ids[model_id]}", anonymous=True))

    def everything(self) -> str:
        return json.dumps(self.cms.call("GET", "api/spaces"))

    def check_untouched(self) -> None:
        for item in self.cms.call("GET", "api/spaces")["data"]:
            assert item["note"] == self.notes[item["model_id"]]


class BucketPlace(BehindProxy):
    """A versioned bucket."""

    def __init__(self, proxy: Proxy, client: Any, conn_id: str) -> None:
        super().__init__(proxy)
        self.client, self.conn_id = client, conn_id
        client.create_bucket(Bucket="tours")
        client.put_bucket_versioning(Bucket="tours", VersioningConfiguration={"Status": "Enabled"})
        client.put_object(Bucket="tours", Key="other.txt", Body=b"not ours")

    def target(self) -> Target:
        from airflow.sdk import ObjectStoragePath

        return ObjectStorageTarget(ObjectStoragePath(f"s3://{self.conn_id}@tours/out"))

    def shown(self, model_id: str) -> str:
        try:
            return self._read(f"out/{model_id}/embed.html")
        except self.client.exceptions.NoSuchKey:
            return ""

    def everything(self) -> str:
        listed = self.client.list_object_versions(Bucket="tours").get("Versions", [])
        return "".join(self._read(v["Key"], VersionId=v["VersionId"]) for v in listed)

    def check_untouched(self) -> None:
        assert self._read("other.txt") == "not ours"

    def _read(self, key: str, **more: str) -> str:
        return self.client.get_object(Bucket="tours", Key=key, **more)["Body"].read().decode()


class SlackPlace(BehindProxy):
    """A channel in which others write too."""

    layout = "message"

    def __init__(self, proxy: Proxy, channel: Channel) -> None:
        super().__init__(proxy)
        self.channel = channel
        channel.answer(
            "chat.postMessage", {"channel": channel.id, "text": "hello", "unfurl_links": "0", "unfurl_media": "0"}
        )

    def target(self) -> SlackTarget:
        return SlackTarget(self.client(), "#tours", layout=self.layout)

    def client(self, token: str = "xoxb-test") -> WebClient:
        return WebClient(
            token=token, base_url=f"{self.proxy.address}/api/", timeout=20,
            retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=3)],
        )  # fmt: skip

    def shown(self, model_id: str) -> str:
        return json.dumps([m for m in self.channel.messages.values() if model_id in json.dumps(m)])

    def everything(self) -> str:
        return json.dumps(self.channel.messages)

    def check_untouched(self) -> None:
        assert [m["text"] for m in self.channel.messages.values()].count("hello") == 1
        assert self.channel.unfurled == []


@contextmanager
def slack_place(**arguments: str) -> Iterator[SlackPlace]:
    """A channel on a stand-in of Slack, behind a proxy.

    :param arguments: of the channel.
    """
    with ExitStack() as stack:
        channel = Channel(**arguments)
        address = stack.enter_context(serving_app(lambda _: create_channel_app(channel)))
        yield SlackPlace(stack.enter_context(serving_proxy(address)), channel)


@contextmanager
def bucket_server() -> Iterator[tuple[str, Any]]:
    """moto's S3: its address, and a client of it."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="key", aws_secret_access_key="x", region_name="us-east-1"
    )
    requests.post(f"{address}/moto-api/reset", timeout=10)  # all servers of a process have the same buckets
    yield address, client
    server.stop()


@contextmanager
def bucket_place(set_environment: Any) -> Iterator[BucketPlace]:
    """A versioned bucket on moto's server, behind a proxy that Airflow's AWS connection leads to."""
    with bucket_server() as (address, client), serving_proxy(address) as proxy:
        extra = {"endpoint_url": proxy.address, "region_name": "us-east-1"}
        fields = {"conn_type": "aws", "login": "key", "password": "x", "extra": extra}
        conn_id = f"aws_{proxy.address.rpartition(':')[2]}"  # Airflow keeps a store for each connection it has met
        set_environment(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
        yield BucketPlace(proxy, client, conn_id)


class GroupPlace(BehindProxy):
    """One entry of a JSON API that lists all spaces, which somebody edits while it is written.

    :ivar edits: how often that has happened.
    """

    every = 5
    _OTHER: ClassVar = {"title": "About us"}

    def __init__(self, proxy: Proxy, cms: Entries) -> None:
        super().__init__(proxy)
        self.cms, self.requests, self.edits = cms, 0, 0
        cms.entries["pages/other"] = dict(self._OTHER)
        proxy.after = self._edit_now_and_then

    def _edit_now_and_then(self, method: str, path: str) -> None:
        self.requests += 1
        page = self.cms.entries.get("pages/intranet")
        if self.requests % self.every == 0 and page is not None:
            self.edits += 1
            page["note"] = f"edited {self.edits}"

    def target(self) -> Target:
        request = GroupRequest(
            method="PUT", endpoint="pages/{audience}", json={"title": "Tours", "spaces": "{spaces}"},
            each=DEFAULT_EACH, headers={}, expected=[200], read_endpoint="pages/{audience}",
        )  # fmt: skip
        return HttpGroupTarget(requests.Session(), self.proxy.address, "http:team", request, timeout=20)

    def shown(self, model_id: str) -> str:
        spaces = self.cms.entries.get("pages/intranet", {}).get("spaces", [])
        return json.dumps([space for space in spaces if space["model_id"] == model_id] or "")

    def everything(self) -> str:
        return json.dumps(self.cms.entries)

    def check_untouched(self) -> None:
        assert self.cms.entries["pages/other"] == self._OTHER
        assert self.cms.entries.get("pages/intranet", {"title": "Tours"})["title"] == "Tours"
