"""The attachments of mail messages are decoded as the email package decodes them, in bounded memory."""

from __future__ import annotations

import base64
import io
import random
from email import message_from_bytes
from email.message import EmailMessage

import pytest

from pme_airflow.leaks import mail_reader
from pme_airflow.leaks.mail_reader import attachments, is_mail


def mail(*contents: bytes, line_end: bytes = b"\n") -> bytes:
    message = EmailMessage()
    message["From"] = "somebody@example.com"
    message["Subject"] = "the tour"
    message.set_content("See the attachment.")
    for number, content in enumerate(contents):
        message.add_attachment(content, maintype="application", subtype="zip", filename=f"{number}.zip")
    return message.as_bytes().replace(b"\n", line_end)


def read(raw: bytes) -> list[bytes]:
    return [part.read() for part in attachments(io.BytesIO(raw))]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("step", [1, 64, 64 << 10])
def test_attachments_are_decoded(line_end: bytes, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_reader, "_STEP_BYTES", step)
    contents = [random.Random(size).randbytes(size) for size in (1, 2, 3, 100, 3000)]
    raw = mail(*contents, line_end=line_end)
    assert is_mail(raw[:512])
    assert read(raw) == contents
    assert read(b"From somebody\n" + raw + b"\nFrom somebody\n" + raw) == contents * 2
    parts = [part.get_payload(decode=True) for part in message_from_bytes(raw).walk() if part.get_filename()]
    assert parts == contents


def test_an_attachment_that_is_not_read_is_skipped() -> None:
    parts = iter(attachments(io.BytesIO(mail(b"a" * 200_000, b"b" * 10))))
    assert next(parts).read(3) == b"aaa"
    assert next(parts).read() == b"b" * 10
    assert list(parts) == []


def test_a_header_may_be_folded_and_a_message_may_be_nothing_but_base64() -> None:
    body = base64.encodebytes(b"x" * 99)
    assert read(b"Subject: x\nContent-Transfer-Encoding:\n base64\n\n" + body) == [b"x" * 99]
    assert read(b"Subject: x\ncontent-transfer-encoding: BASE64\nX-Y: z\n\n" + body.replace(b"\n", b"")) == [b"x" * 99]
    assert read(b"Content-Transfer-Encoding: base64\n--end\n\n" + body) == []
    assert read(b"Content-Transfer-Encoding: 7bit\n\n" + body) == []


def test_what_is_no_base64_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"base64|padding"):
        read(b"Content-Transfer-Encoding: base64\n\na===")


@pytest.mark.parametrize(
    "head",
    [b"Received-SPF: pass", b"Envelope-to: a", b"List-Id: <a>", b"In-Reply-To: <a>", b"References: <a>",
     b"Importance: high", b"Thread-Topic: a", b"Resent-From: a", b"Content-Transfer-Encoding: base64",
     b"2314      \nReceived: x", b"2314\r\nFrom: x"],
)  # fmt: skip
def test_a_mail_may_begin_with_any_header(head: bytes) -> None:
    assert is_mail(head)


@pytest.mark.parametrize("head", [b"12 From: x", b"", b"a text", b"Fromage: x", b"xFrom: y", b'{"From": 1}', b"x: y"])
def test_other_files_are_no_mail(head: bytes) -> None:
    assert not is_mail(head)
