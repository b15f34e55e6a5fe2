"""Opened links are masked in everything that a task writes, however many there are."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from pme_airflow.hooks import log_masking
from pme_airflow.hooks.log_masking import LinkMasks
from pme_airflow.sealing import OpenedLink
from pme_airflow.secrets import AccessToken, SecretStr


@pytest.fixture
def log_output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the root logger's handler writes, with Airflow's own masking out of the way."""
    monkeypatch.setattr(log_masking, "mask_secret", lambda _: None)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    factory, processors = logging.getLogRecordFactory(), list(structlog.get_config()["processors"])
    root = logging.getLogger()
    before = [(handler, handler.formatter, list(handler.filters)) for handler in root.handlers]
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)
    for kept, formatter, filters in before:
        kept.formatter, kept.filters = formatter, filters
    logging.setLogRecordFactory(factory)
    structlog.get_config()["processors"][:] = processors


def link(number: int) -> OpenedLink:
    token = f"token{number:020d}"
    return OpenedLink(SecretStr(f"https://my.matterport.com/show?m=x&auth=Bearer+{token}"), AccessToken(token))


def token(number: int) -> str:
    return link(number).token.reveal()


@pytest.fixture
def masks(log_output: io.StringIO) -> LinkMasks:
    """Masks of 1,000 links."""
    made = LinkMasks()
    for number in range(1000):
        made.add(link(number))
    return made


def handler_of(stream: io.StringIO) -> logging.Handler:
    return next(held for held in logging.getLogger().handlers if getattr(held, "stream", None) is stream)


class Kept(logging.Handler):
    """A handler that reads records without formatting them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


LOG = logging.getLogger("careless.target")


@pytest.mark.parametrize("number", [0, 999])
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "Bearer {}",
        "auth=Bearer+{}&m=1",
        "auth=Bearer%20{}",
        "auth%3DBearer%2520{}%26m",
        "sent {}.",
        "sent {}...",
        "-{}-",
        "_{}_",
        "a{}b",
        '{{"link": "\\n{}"}}',
        "\\u0020{}\\u0026",
        "\x1b[1m{}\x1b[0m",
        "é{}é",
        "{0}{0}",
    ],
)
def test_a_token_is_masked_with_whatever_stands_around_it(
    log_output: io.StringIO, masks: LinkMasks, form: str, number: int
) -> None:
    LOG.warning(form.format(token(number)))
    LOG.warning("%s and %d", form.format(token(number)), 7)
    assert log_output.getvalue().splitlines() == [form.format("***"), form.format("***") + " and 7"]


def test_other_texts_are_kept_as_they_are(log_output: io.StringIO, masks: LinkMasks) -> None:
    LOG.warning("near misses: %s %s %s", token(1000), token(999)[:-1], token(999)[1:])
    assert log_output.getvalue() == f"near misses: {token(1000)} {token(999)[:-1]} {token(999)[1:]}\n"


def test_the_rest_of_a_masked_address_stays_readable(log_output: io.StringIO, masks: LinkMasks) -> None:
    LOG.warning("shown: %s", link(999).url.reveal())
    assert log_output.getvalue() == "shown: https://my.matterport.com/show?m=x&auth=Bearer+***\n"


def test_tracebacks_are_masked_with_their_causes(log_output: io.StringIO, masks: LinkMasks) -> None:
    try:
        try:
            raise KeyError(token(998))
        except KeyError as cause:
            raise ValueError(f"no answer for Bearer%20{token(999)}.") from cause
    except ValueError as error:
        LOG.exception("failed")
        LOG.error(error)
    written = log_output.getvalue()
    assert token(998) not in written
    assert token(999) not in written
    assert "KeyError: '***'" in written
    assert "ValueError: no answer for Bearer%20***." in written
    assert "Traceback (most recent call last)" in written


def test_extra_fields_and_stacks_are_masked(log_output: io.StringIO, masks: LinkMasks) -> None:
    handler_of(log_output).setFormatter(logging.Formatter("%(message)s %(header)s"))
    masks.add(link(0))
    LOG.warning("sent", extra={"header": f"Bearer {token(999)}"})
    record = logging.getLogRecordFactory()("n", 20, "p", 1, "m", (), None, "f", f"open({token(999)!r})")
    assert log_output.getvalue() == "sent Bearer ***\n"
    assert record.stack_info == "open('***')"


def test_a_handler_that_formats_nothing_reads_masked_records(log_output: io.StringIO, masks: LinkMasks) -> None:
    handler = Kept()
    logging.getLogger().addHandler(handler)
    try:
        masks.add(link(0))
        raise ValueError(token(999))
    except ValueError:
        LOG.exception("sent %s", token(999), extra={"header": token(998)})
    finally:
        logging.getLogger().removeHandler(handler)
    (record,) = handler.records
    assert (record.getMessage(), record.__dict__["header"]) == ("sent ***", "***")
    assert record.exc_text is not None
    assert record.exc_text.endswith("ValueError: ***")


def test_a_formatter_that_writes_tracebacks_itself_is_covered(log_output: io.StringIO, masks: LinkMasks) -> None:
    class Own(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}"

    handler_of(log_output).setFormatter(Own())
    masks.add(link(0))
    LOG.warning("sent", exc_info=ValueError(token(999)))
    assert log_output.getvalue() == "sent: ValueError('***')\n"


def test_an_event_of_structlog_reaches_its_formatter_whole(log_output: io.StringIO, masks: LinkMasks) -> None:
    renderer = structlog.processors.JSONRenderer()
    handler_of(log_output).setFormatter(structlog.stdlib.ProcessorFormatter(renderer))
    masks.add(link(0))
    log = structlog.wrap_logger(
        LOG,
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    log.warning("sent", header=[token(999)])
    assert json.loads(log_output.getvalue())["header"] == ["***"]


def test_handlers_of_other_loggers_and_later_handlers_are_covered(log_output: io.StringIO, masks: LinkMasks) -> None:
    stream, log = io.StringIO(), logging.getLogger("careless.alone")
    log.propagate = False
    handler = logging.StreamHandler(stream)
    log.addHandler(handler)
    try:
        raise ValueError(token(999))
    except ValueError:
        log.exception("sent %s", token(999), stack_info=True)
    finally:
        log.removeHandler(handler)
        log.propagate = True
    assert token(999) not in stream.getvalue()
    assert "ValueError: ***" in stream.getvalue()


def test_a_message_that_cannot_be_formatted_is_left_to_logging(log_output: io.StringIO, masks: LinkMasks) -> None:
    record = logging.getLogRecordFactory()("n", 20, "p", 1, "%d", ("x",), None)
    assert masks.filter(record)
    assert (record.msg, record.args) == ("%d", ("x",))


def test_printed_texts_and_what_logging_prints_of_its_errors_are_masked(
    log_output: io.StringIO, masks: LinkMasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    for _ in range(3):
        masks.add(link(0))
    print("sent", token(999), f"Bearer%20{token(998)}.")
    sys.stdout.writelines([f"{token(997)}\n"])
    log = logging.getLogger("careless.alone")
    log.propagate = False
    log.addHandler(handler := logging.StreamHandler())
    log.warning("%d", token(996))
    log.removeHandler(handler)
    log.propagate = True
    assert out.getvalue() == "sent *** Bearer%20***.\n***\n"
    assert token(996) not in err.getvalue()
    assert "***" in err.getvalue()
    assert sys.stdout.getvalue() == out.getvalue()  # type: ignore[attr-defined]


def test_hooks_are_installed_once_however_many_links_are_opened(log_output: io.StringIO, masks: LinkMasks) -> None:
    masks.add(link(1999))  # pytest has replaced standard output since the fixture ran
    handler, factory = handler_of(log_output), logging.getLogRecordFactory()
    installed = (sys.stdout, handler.formatter, list(handler.filters), list(structlog.get_config()["processors"]))
    masks.add(link(2000))
    assert logging.getLogRecordFactory() is factory
    assert installed == (
        sys.stdout,
        handler.formatter,
        handler.filters,
        structlog.get_config()["processors"],
    )


def test_airflow_masks_the_first_few_links_alone(log_output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(log_masking, "mask_secret", masked.append)
    masks = LinkMasks()
    for number in [*range(200), *range(200)]:
        masks.add(link(number))
    assert len(masked) == 2 * 50


_TASK = """
import atexit, io, logging, sys, warnings
import structlog
from airflow.sdk.log import configure_logging
from pme_airflow.hooks import log_masking
from tests.hooks.test_log_masking import link, token

log_masking.mask_secret = lambda _: None
sent = io.BytesIO()
configure_logging(json_output={json_output}, output=sent, sending_to_supervisor=True, log_level="INFO")
early = structlog.get_logger("early")
early.info("first use, which caches its processors")
masks = log_masking.LinkMasks()
for number in range(1000):
    masks.add(link(number))
for number in (0, 999):
    for log in (early, structlog.get_logger("late")):
        log.info("sent Bearer%20" + token(number) + ".", header={{"a": [token(number)]}}, secret=ValueError(token(number)))
        log.info("sent %s", token(number))
        try:
            raise ValueError("\\n" + token(number))
        except ValueError:
            log.exception("failed")
    try:
        raise ValueError("\\n" + token(number))
    except ValueError:
        logging.getLogger("stdlib").exception("failed with %s", token(number), stack_info=True)
    warnings.warn("warned of " + token(number))
    print("printed", token(number))
print("kept", token(1000))
# Past the masked stream, so that only the masks on logs act on what was sent.
atexit.register(lambda: sys.__stdout__.write(sent.getvalue().decode()))
raise RuntimeError("uncaught " + token(999))
"""


@pytest.mark.parametrize("json_output", [True, False])
def test_what_a_task_sends_to_its_supervisor_is_masked(json_output: bool) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    program = _TASK.format(json_output=json_output)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False, timeout=60
    )
    written = ended.stdout + ended.stderr
    assert ended.returncode == 1, written
    assert token(0) not in written
    assert token(999) not in written
    assert f"kept {token(1000)}" in written
    assert written.count("printed ***") == 2
    assert written.count("sent Bearer%20***.") == 4
    assert written.count("failed with ***") == 2
    assert written.count("warned of ***") == 2
    assert "uncaught ***" in written
    if json_output:
        lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
        assert len(lines) == 1 + 2 * (2 * 3 + 2) + 1
        assert [line["exception"][0]["exc_value"] for line in lines if line["event"] == "failed"] == ["\n***"] * 4
