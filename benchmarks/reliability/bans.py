"""python -m benchmarks.reliability.bans [--corpus FILE] [--words 1000000] [--terms 8] [--json]

Whether the content rules miss anything, and what they cost. Each term of the frozen placeholder set in each form of
`evasions.py` is brought to each checkpoint of a real session, as each role, under each combination of the settings that
make a channel mature; the corpus (public-domain fiction, documents in any layout) is read with the built-in lists in
messages of 2,000 characters.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import lzma
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from benchmarks.reliability.command_line import parser
from benchmarks.reliability.evasions import FORMS, parts
from benchmarks.reliability.script import Script
from bot import access
from bot.access import Role
from bot.errors import NotAllowedError, RefusedError
from bot.rating import MATURE_ON
from bot.rule_lists import built_in, of_operator
from bot.rules import Checkpoint, ContentRules
from bot.services import Services
from config.settings import load_settings
from engine.worker import Worker
from memory import Author, NewTurn, Store

PLACEHOLDERS = Path(__file__).with_name("placeholders.toml")
CHANNEL, GUILD = 5, 9
MESSAGE = 2000  # characters
ACTIONS = {
    Checkpoint.PROMPT: "story.add", Checkpoint.CONTEXT: "story.continue", Checkpoint.TEACHING: "teach.add",
    Checkpoint.OUTPUT: "story.continue",
}  # fmt: skip
UNLIMITED = dict.fromkeys(("requests_per_member", "requests_per_channel", "requests_per_server"), 0) | dict.fromkeys(
    ("daily_lessons_per_member", "daily_lessons_per_channel", "daily_lessons_per_server"), 0
)


class Silence:
    """A sink that keeps what was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    async def queued(self, position: int, expected_wait: float) -> None:
        """Nobody waits."""

    async def show(self, text: str) -> None:
        self.shown.append(text)

    async def finish(self, text: str) -> None:
        self.shown.append(text)


def frozen() -> list[str]:
    return [term.rstrip("*") for each in of_operator(PLACEHOLDERS).lists for term in each.terms]


def rules() -> ContentRules:
    return ContentRules.of(built_in() | of_operator(PLACEHOLDERS))


@contextlib.asynccontextmanager
async def opened(
    data: Path, lists: ContentRules, script: Script, *, flag: bool, server: bool
) -> AsyncIterator[Services]:
    settings = load_settings(data_dir=data, **UNLIMITED)
    store = await Store.open(settings.database_file)
    async with Services(settings, store, cast(Worker, script), lists) as services:
        services.age_restricted = lambda channel: flag
        await store.set_setting(f"guild:{GUILD}", MATURE_ON, "on" if server else None)
        yield services


async def bring(services: Services, script: Script, at: Checkpoint, said: tuple[str, ...], who: Author) -> None:
    """Brings a text to a checkpoint, behind an innocent story. Raises `RefusedError` where it is met."""
    session, store, sink = services.session(CHANNEL, GUILD), services.store, Silence()
    await store.start_story(CHANNEL, guild=GUILD, title="A tale", premise="They walked on and she said", author=who)
    *first, last = said
    script.replies = [""]
    if at is Checkpoint.TEACHING:
        await session.teach(" ".join(first) or "What did she say to him?", f"{last} to him.", who, sink)
    elif at is Checkpoint.CONTEXT:
        await planted(store, said, who)
        await session.write(None, who, sink)
    elif at is Checkpoint.PROMPT:
        for text in first:
            await session.write(text, who, sink)
        await session.write(f"{last} to him.", who, sink)
    else:
        for text in first:
            await session.write(text, who, sink)
        script.replies = [f" {last} to him."]
        try:
            await session.write(None, who, sink)
        finally:
            if not first and any(last in shown for shown in sink.shown):
                raise AssertionError(f"{last!r} was shown")


async def planted(store: Store, said: tuple[str, ...], who: Author) -> None:
    """Puts a text into the story behind the rules' back, as if it had come under other lists."""
    for text in (*said[:-1], f"{said[-1]} to him."):
        story = await store.story(CHANNEL)
        assert story is not None
        await store.append(CHANNEL, [NewTurn(who, "member", f" {text}")], after=story.head)


async def misses(terms: list[str], roles: list[Role], folder: Path) -> tuple[int, list[str]]:
    """How many attempts were made, and those that nothing refused."""
    tried, missed = 0, []
    for flag, server, weights in itertools.product((False, True), (False, True), ("general", "mature")):
        script = Script(weights)
        data = folder / f"{flag}-{server}-{weights}"
        async with opened(data, rules(), script, flag=flag, server=server) as services:
            for role, at in itertools.product(roles, Checkpoint):
                if not access.allowed(ACTIONS[at], role):
                    with contextlib.suppress(NotAllowedError):
                        access.require(ACTIONS[at], role)
                        missed.append(f"{role.name} may {ACTIONS[at]}")
                    continue
                who = Author(role.value + 1, role.name)
                for term, (name, form) in itertools.product(terms, FORMS.items()):
                    tried += 1
                    try:
                        await bring(services, script, at, parts(form, term), who)
                    except RefusedError:
                        continue
                    missed.append(f"{at.value}, {role.name}, {flag=}, {server=}, {weights}: {name} of {term}")
    return tried, missed


def messages(corpus: Path, words: int) -> Iterator[str]:
    """The corpus in messages, up to so many words."""
    opener = lzma.open if corpus.suffix == ".xz" else open
    with opener(corpus, "rt", encoding="utf-8") as file:
        while words > 0 and (text := file.read(MESSAGE)):
            words -= len(text.split())
            yield text


def read(corpus: Path, words: int) -> dict[str, Any]:
    """False alarms of the built-in lists, in general use, and the time of a message."""
    lists, seconds, alarms, count = ContentRules.load(), [], [], 0
    for text in messages(corpus, words):
        count += len(text.split())
        begin = time.thread_time()
        refusal = lists.check(text)
        seconds.append(time.thread_time() - begin)
        if refusal is not None:
            alarms.append(refusal.category)
    return {
        "words": count, "messages": len(seconds), "alarms": len(alarms),
        "alarms_per_100000_words": round(len(alarms) / count * 100_000, 2),
        "median_ms": round(statistics.median(seconds) * 1000, 2),
        "p99_ms": round(statistics.quantiles(seconds, n=100)[98] * 1000, 2),
    }  # fmt: skip


def measure(corpus: Path | None, words: int, count: int, roles: list[Role]) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        tried, missed = asyncio.run(misses(frozen()[:count], roles, Path(folder)))
    found: dict[str, Any] = {"forms": len(FORMS), "terms": len(frozen()[:count]), "attempts": tried, "missed": missed}
    if corpus is not None:
        found["corpus"] = read(corpus, words)
    return found


def main() -> None:
    reading = parser(__doc__, words=1_000_000, terms=len(frozen()))  # of the corpus, and of the frozen set
    reading.add_argument("--corpus", type=Path, help="public-domain fiction, .txt or .xz, for false alarms and speed")
    given = reading.parse_args()
    found = measure(given.corpus, given.words, given.terms, list(Role))
    if given.json:
        print(json.dumps(found))
        return
    print(
        f"{found['attempts']:,} attempts, {found['terms']} terms in {found['forms']} forms:"
        f" {len(found['missed'])} missed"
    )
    print("\n".join(found["missed"][:20]))
    if corpus := found.get("corpus"):
        print(
            f"{corpus['words']:,} words in {corpus['messages']:,} messages: {corpus['alarms']} refused,"
            f" {corpus['alarms_per_100000_words']} in 100,000 words; {corpus['median_ms']} ms a message,"
            f" {corpus['p99_ms']} ms at the 99th percentile"
        )


if __name__ == "__main__":
    main()
