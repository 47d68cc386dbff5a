"""python -m benchmarks.reliability.rating [--steps 100000] [--json]

Lets hypothesis do whatever people, keepers, owners and Discord may do in three channels: flags come and go, mature
stories are switched on and off, weights of either rating are swapped, styles chosen, lessons taught and forgotten,
stories written, left and taken up, the process started anew. The model writes what each rating allows at most. After
each step nothing that was made as mature has been shown, exported or read by the model where something asks for less.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from benchmarks.reliability.bans import UNLIMITED, Silence
from benchmarks.reliability.command_line import parser
from benchmarks.reliability.script import Script
from bot.errors import BotError, RefusedError
from bot.memories import STYLE
from bot.rating import MATURE_ON
from bot.rules import ContentRules, TermList
from bot.services import Services
from bot.session import ChannelSession
from config.settings import load_settings
from engine.pack import FORMAT
from engine.units import dump_units
from engine.worker import Worker
from memory import Author, Store, StoreError

GUILD, CHANNELS = 9, (5, 6, 7)
DIRECT = 7  # a channel of direct messages
WHO = Author(11, "Ann")
WORD = "blicket"  # mature, by the list of this benchmark
STEPS = 50  # of one run
RUNS = 60  # until hypothesis begins anew
SHARED_MEMORY = Path("/dev/shm")  # where nothing waits for a disk
RULES = ContentRules([TermList("grown", "words for grown people", (WORD,), general_use=True)])
RATINGS = ("mature", "mature", "mature", "general", "unknown")
channels, switch = st.sampled_from(CHANNELS), st.booleans()
mostly = st.sampled_from((True, True, True, False))
counted: Counter[str] = Counter()


class Rated(RuleBasedStateMachine):
    """The truth is kept beside the bot: flags, switch and weights, and where text was written while all allowed it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.data = Path(tempfile.mkdtemp(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None))
        self.chosen = load_settings(data_dir=self.data, **UNLIMITED)
        write_styles(self.data / "styles")
        self.flags = {CHANNELS[0], DIRECT}
        self.on = True
        self.script = Script("mature")
        self.number = itertools.count()
        self.services = self.loop.run_until_complete(self._open())

    async def _open(self) -> Services:
        store = await Store.open(self.chosen.database_file)
        services = Services(self.chosen, store, cast(Worker, self.script), RULES)
        services.age_restricted = self.flags.__contains__
        await services.store.set_setting(f"guild:{GUILD}", MATURE_ON, "on" if self.on else None)
        return services

    def teardown(self) -> None:
        self.loop.run_until_complete(self._close())
        self.loop.close()
        shutil.rmtree(self.data)

    async def _close(self) -> None:
        await self.services.idle()
        await self.services.close()

    # What may be

    def allows(self, channel: int) -> bool:
        return channel != DIRECT and channel in self.flags and self.on and self.script.rating == "mature"

    def session(self, channel: int) -> ChannelSession:
        return self.services.session(channel, None if channel == DIRECT else GUILD)

    async def lacks_story(self, channel: int) -> bool:
        return await self.session(channel).story() is None

    def do(self, channel: int, *work: Any) -> None:
        """Does it, then looks at all that it showed, and at all that can be shown of the channel."""
        self.loop.run_until_complete(self._do(channel, *work))

    async def _do(self, channel: int, *work: Any) -> None:
        counted["steps"] += 1
        self.script.contexts.clear()
        sink = Silence()
        for method, *rest in work:
            try:
                await getattr(self.session(channel), method)(*(sink if each is Silence else each for each in rest))
                counted[method] += 1
            except (BotError, StoreError) as error:
                counted["refused" if isinstance(error, RefusedError) else "told"] += 1
        await self.services.idle()
        if self.allows(channel):
            counted["mature shown"] += WORD in "".join(sink.shown)
            return
        read = [(*context.pins, str(context.summary), context.text, context.past, context.note)
                for context, _, _ in self.script.contexts]  # fmt: skip
        for text in (*sink.shown, *itertools.chain(*read), *await self.shown(channel)):
            assert WORD not in text.lower(), text
        for _, _, style in self.script.contexts:
            assert style is None or style.stem == "general"

    async def shown(self, channel: int) -> list[str]:
        """All that can be read of a channel now."""
        session, found = self.session(channel), []
        view = await session.memory()
        found += [view.text, str(view.summary), str(view.note), *map(str, view.pins), *map(str, view.lessons)]
        found += [str(turn) for turn in await session.tail(10_000)]
        found += [str(row) for row in await session.summary_versions(20)]
        for story in await session.stories():
            found += [story.title, (await session.export("markdown", story.id))[1].decode()]
        for way in (session.tree, session.outline, session.tries, session.export):
            try:
                found.append(str(await way()))
            except (BotError, StoreError):
                continue
        return found

    # What people do

    @rule(channel=channels, mature=mostly)
    def flag(self, channel: int, mature: bool) -> None:
        (self.flags.add if mature else self.flags.discard)(channel)
        self.do(channel)

    @rule(mature=mostly)
    def server(self, mature: bool) -> None:
        self.on = mature
        self.loop.run_until_complete(
            self.services.store.set_setting(f"guild:{GUILD}", MATURE_ON, "on" if mature else None)
        )

    @rule(rating=st.sampled_from(RATINGS))
    def swap(self, rating: str) -> None:
        self.script.rating = rating

    @rule()
    def restart(self) -> None:
        self.loop.run_until_complete(self._close())
        self.services = self.loop.run_until_complete(self._open())

    @rule(channel=channels, name=st.sampled_from(("general", "mature", None)))
    def style(self, channel: int, name: str | None) -> None:
        self.loop.run_until_complete(self.services.store.set_setting(f"channel:{channel}", STYLE, name))

    @rule(channel=channels, grown=switch)
    def start(self, channel: int, grown: bool) -> None:
        word = WORD if grown else "fox"
        self.do(channel, ("start", f"The {word} {next(self.number)}", f"A {word} sang.", WHO))

    @rule(channel=channels, grown=switch, long=switch)
    def write(self, channel: int, grown: bool, long: bool) -> None:
        if self.loop.run_until_complete(self.lacks_story(channel)):
            self.start(channel, grown)
        self.script.replies = [f" And the {WORD if grown else 'fox'} went on."]
        text = "They walked far and said nothing. " * (20 if long else 1)
        self.do(channel, ("write", f"{text}The {WORD if grown else 'fox'} came.", WHO, Silence))

    @rule(channel=channels, grown=switch)
    def continue_or_retry(self, channel: int, grown: bool) -> None:
        self.script.replies = [f" Then a {WORD if grown else 'bird'} came by."]
        self.do(channel, ("write", None, WHO, Silence), ("retry", WHO, Silence))

    @rule(channel=channels, grown=switch)
    def teach(self, channel: int, grown: bool) -> None:
        self.script.replies = [f"A {WORD}."]
        question = f"Who is number {next(self.number)}?"
        self.do(channel, ("teach", question, f"A {WORD if grown else 'fox'}.", WHO, Silence), ("test_lessons", Silence))

    @rule(channel=channels, grown=switch)
    def remember(self, channel: int, grown: bool) -> None:
        word = WORD if grown else "fox"
        pin = f"The {word} is number {next(self.number)}."
        self.do(channel, ("pin", pin, WHO), ("put_note", f"More {word}.", 2, WHO),
                ("edit_summary", f"A {word} sang.", WHO))  # fmt: skip

    @rule(channel=channels, which=st.integers(1, 12))
    def go(self, channel: int, which: int) -> None:
        """Somewhere else in the stories of the channel, by a number that may be anybody's."""
        numbered = ((way, which) for way in ("resume_story", "branch", "forget", "unpin"))
        self.do(channel, *numbered, ("undo",), ("redo",))

    @rule(channel=channels)
    def leave(self, channel: int) -> None:
        self.do(channel, ("finish",))

    @rule(channel=channels)
    def reset(self, channel: int) -> None:
        self.do(channel, ("reset",))


def write_styles(folder: Path) -> None:
    """Two packs whose cards say what they are; nothing of them is ever loaded here."""
    folder.mkdir(parents=True)
    for rating in ("general", "mature"):
        about = {"format": FORMAT, "name": rating, "base_id": "script", "units": 1, "rating": rating}
        (folder / f"{rating}.safetensors").write_bytes(dump_units([], "pack", json.dumps(about)))


def run(steps: int) -> Counter[str]:
    """So many steps, in runs of `STEPS`; raises where something was shown that may not be."""
    counted.clear()
    runs = max(steps // STEPS, 1)
    for done in range(0, runs, RUNS):  # hypothesis remembers every run: so it begins anew after some
        run_state_machine_as_test(
            Rated,
            settings=settings(
                max_examples=min(runs - done, RUNS), stateful_step_count=STEPS, deadline=None, database=None,
                derandomize=False, suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
        print(f"{counted['steps']:,} steps", file=sys.stderr)
    return counted


def main() -> None:
    given = parser(__doc__, steps=100_000).parse_args()
    done = run(given.steps)
    if given.json:
        print(json.dumps(done))
        return
    print(f"{done['steps']:,} steps: 0 mature outputs outside the minimum")
    print(", ".join(f"{name} {count:,}" for name, count in sorted(done.items()) if name != "steps"))


if __name__ == "__main__":
    main()
