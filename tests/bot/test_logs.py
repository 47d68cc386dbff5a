"""What comes out of the log: no secret, no line that it has not written, and in a chat no folder of the host."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from benchmarks.reliability.secrets import measure
from bot.host_paths import without_paths
from bot.logs import BEHIND, Redacting, Troubles
from bot.redaction import Redactor, one_line
from config.settings import load_settings

INPUTS = 1500
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4OQ.GabcDE.abcdefghijklmnopqrstuvwxyz0123456789-_"
KEY = "0123456789abcdef" * 4


def test_no_secret_and_no_forged_line_in_many_records() -> None:
    figures = measure(INPUTS, seed=5)
    assert (figures["leaks"], figures["forged_lines"], figures["control_characters"], figures["missing"]) == (
        0,
        0,
        0,
        0,
    )
    assert figures["lines"] > figures["logged"] > INPUTS // 2


def test_settings_name_all_their_secrets_and_show_none(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, discord_token=TOKEN, key=KEY)
    assert set(settings.secrets) == {TOKEN, KEY}
    assert not any(secret in f"{settings} {settings!r} {settings.model_dump()}" for secret in settings.secrets)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Bot {TOKEN} was refused", "Bot … was refused"),
        (f"key {KEY.upper()}", "key …"),
        ("GET /webhooks/12/abcdef/messages", "GET /webhooks/12/…/messages"),
        ("Authorization: Bot something.else", "Authorization: Bot …"),
        ("{'authorization': 'Bearer xyz'}", "{'authorization': 'Bearer …'}"),
        ('{"token": "aW50ZXJhY3Rpb24", "id": "3"}', '{"token": "…", "id": "3"}'),
        ("of another bot: MTIzNDU2Nzg5MDEyMzQ1Njc4OA.Gzzzzz.abcdefghijklmnopqrstuvwxyz01", "of another bot: …"),
        ("the token of a story is no secret", "the token of a story is no secret"),
    ],
)
def test_secrets_are_taken_out(text: str, left: str) -> None:
    assert Redactor([TOKEN, KEY])(text) == left


def test_a_record_is_one_line_and_what_hangs_behind_it() -> None:
    forged = "Ann\n2026-11-21 12:00:00,000 ERROR bot: gone\x1b[2K\u2028\u202e\x00\ud800"
    try:
        raise ValueError(forged)
    except ValueError as error:
        raised = (type(error), error, error.__traceback__)
    record = logging.LogRecord("bot", logging.INFO, "", 1, "%s joined", (forged,), raised)
    first, *behind = Redacting("%(levelname)s %(message)s").format(record).split("\n")
    assert first == (r"INFO Ann\n2026-11-21 12:00:00,000 ERROR bot: gone\u001b[2K\u2028\u202e\u0000\ud800 joined")
    assert any("ValueError: Ann" in line for line in behind)
    assert all(line.startswith(BEHIND) and line.isprintable() for line in behind)
    assert one_line("a fox\tand") == r"a fox\tand"


def test_a_record_that_cannot_be_put_together_is_told_without_its_parts() -> None:
    record = logging.LogRecord("bot", logging.INFO, "", 1, "%d stories", ("what somebody wrote",), None)
    assert Redacting("%(message)s").format(record) == "'%d stories' could not be put together (TypeError)"
    troubles = Troubles(["a-long-secret"])
    troubles.emit(logging.LogRecord("bot", logging.ERROR, "", 1, "%d", ("x",), None))
    troubles.emit(logging.LogRecord("bot", logging.ERROR, "", 1, "/srv/data/x.sqlite3: a-long-secret\x1b[0m", (), None))
    assert [trouble.what for trouble in troubles.last] == [
        "'%d' could not be put together (TypeError)", r"x.sqlite3: …\u001b[0m",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/srv/bot/weights/x/model.safetensors is damaged", "model.safetensors is damaged"),
        ("There is no weights folder /srv/bot/weights/x; name another", "There is no weights folder x; name another"),
        ("/home/a b/data/styles/verse.safetensors is no style pack", "verse.safetensors is no style pack"),
        ("'/etc/hosts' (/etc/hosts)", "'hosts' (hosts)"),
        (r"C:\Users\ann\model.safetensors: no", "model.safetensors: no"),
        ("use /weights list, and/or https://example.org/a/b", "use /weights list, and/or https://example.org/a/b"),
        ("3/4 of it, she said: either/or", "3/4 of it, she said: either/or"),
    ],
)
def test_folders_of_the_host_are_left_out(text: str, left: str) -> None:
    assert without_paths(text, Path("/home/a b/data/styles")) == left
