"""The four checkpoints of the content rules: what comes by one of them is met there, and by none of the others.

Each test is also run with rules that have lost that one checkpoint, through the constructor that `Services` offers, and
has to fail then: else something could be taken away without a test that notices.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.reliability.bans import PLACEHOLDERS, frozen, rules
from benchmarks.reliability.evasions import FORMS, parts
from benchmarks.reliability.script import Script
from bot.errors import RefusedError
from bot.rule_lists import built_in, of_operator
from bot.rules import Checkpoint, ContentRules
from bot.services import Services
from memory import NewTurn
from tests.bot.conftest import ANN, BANNED, Paper
from tests.bot.script import CHANNEL, GUILD, scripted


class Blind(ContentRules):
    """Rules that look away at one checkpoint."""

    def __init__(self, blind: Checkpoint | None) -> None:
        super().__init__({"invented words": [BANNED]})
        self._blind = blind

    def require(
        self, text: str, where: str = "your text", before: str = "", *, at: Checkpoint = Checkpoint.PROMPT,
        mature: bool = False, seam: bool = True,
    ) -> None:  # fmt: skip
        if at is not self._blind:
            super().require(text, where, before, at=at, mature=mature, seam=seam)

    def require_seams(self, messages: Sequence[str], where: str, *, at: Checkpoint, mature: bool = False) -> None:
        if at is not self._blind:
            super().require_seams(messages, where, at=at, mature=mature)

    def require_long(self, text: str, where: str, begin: int, *, at: Checkpoint, mature: bool = False) -> None:
        if at is not self._blind:
            super().require_long(text, where, begin, at=at, mature=mature)


async def _prompt(services: Services, script: Script) -> None:
    """Whatever people write is refused before it is stored."""
    session = services.session(CHANNEL, GUILD)
    for attempt in (
        lambda: session.start(BANNED, "A fox.", ANN),
        lambda: session.start("A tale", f"The {BANNED}.", ANN),
        lambda: session.pin(f"The {BANNED}.", ANN),
        lambda: session.pin("The fox.", ANN, [BANNED]),
        lambda: session.put_note(f"Be {BANNED}.", 3, ANN),
        lambda: session.edit_summary(f"The {BANNED}.", ANN),
        lambda: session.bring(f"The {BANNED}.", ANN, title="Brought"),
    ):
        with pytest.raises(RefusedError):
            await attempt()
    turn = (await session.tail(1000))[-1]
    with pytest.raises(RefusedError, match="Your text"):
        await session.edit(turn, f"A {BANNED}.", ANN)
    with pytest.raises(RefusedError, match="Your text"):
        await session.write(f"A {BANNED}.", ANN, Paper())
    assert script.contexts == []


async def _context(services: Services, script: Script) -> None:
    """What came into the store under other lists is not shown to the model."""
    session, store = services.session(CHANNEL, GUILD), services.store
    pin = await store.add_pin(CHANNEL, f"The {BANNED}.", ANN)
    with pytest.raises(RefusedError, match="The story so far"):
        await session.write(None, ANN, Paper())
    await store.remove_pin(CHANNEL, pin.id)
    await store.put_note(CHANNEL, f"Be {BANNED}.", 3, ANN)
    with pytest.raises(RefusedError, match="The story so far"):
        await session.write(None, ANN, Paper())
    await store.remove_note(CHANNEL)
    story = await store.story(CHANNEL)
    assert story is not None
    # Far enough back to have left the window, from where it would be recalled.
    far = [NewTurn(ANN, "member", f" A {BANNED}."), *(NewTurn(ANN, "member", " A fox ran far.") for _ in range(60))]
    await store.append(CHANNEL, far, after=story.head)
    with pytest.raises(RefusedError, match="The story so far"):
        await session.write(None, ANN, Paper())
    assert script.contexts == []


async def _teaching(services: Services, script: Script) -> None:
    """No lesson holds it, in prompt or answer or over both."""
    session = services.session(CHANNEL, GUILD)
    half = len(BANNED) // 2
    for prompt, answer in (
        (f"Who is {BANNED}?", "A fox."),
        ("Who is it?", f"{BANNED}."),
        (BANNED[:half], BANNED[half:]),
    ):
        with pytest.raises(RefusedError, match="The lesson"):
            await session.teach(prompt, answer, ANN, Paper())
    assert script.taught == []


async def _output(services: Services, script: Script) -> None:
    """Nothing of it is shown, not in a reply, nor in what a lesson is answered with."""
    session = services.session(CHANNEL, GUILD)
    script.replies = [f" She saw {BANNED} there."]
    paper = Paper()
    for attempt in (lambda: session.write("So.", ANN, paper), lambda: session.retry(ANN, paper)):
        with pytest.raises(RefusedError, match="The reply"):
            await attempt()
        await services.store.append(
            CHANNEL, [NewTurn(None, "model", " It ran.")], after=(await session.tail(1000))[-1].id
        )
    with pytest.raises(RefusedError, match="The reply"):
        await session.propose(paper)
    await session.teach("Who is it?", "A fox.", ANN, Paper())
    [(_, recall)] = await session.test_lessons(Paper())
    assert BANNED not in "".join([*paper.shown, *paper.finished, recall.answer])


CHECKS: dict[Checkpoint, Callable[[Services, Script], Awaitable[None]]] = {
    Checkpoint.PROMPT: _prompt,
    Checkpoint.CONTEXT: _context,
    Checkpoint.TEACHING: _teaching,
    Checkpoint.OUTPUT: _output,
}  # fmt: skip


async def _run(data: Path, checkpoint: Checkpoint, blind: Checkpoint | None) -> None:
    script = Script()
    async with scripted(data, Blind(blind), script, set()) as services:
        await services.session(CHANNEL, GUILD).start("A tale", "A fox ran.", ANN)
        await CHECKS[checkpoint](services, script)


@pytest.mark.parametrize("checkpoint", Checkpoint)
async def test_what_comes_by_a_checkpoint_is_met_there(tmp_path: Path, checkpoint: Checkpoint) -> None:
    await _run(tmp_path, checkpoint, None)


@pytest.mark.parametrize("checkpoint", Checkpoint)
async def test_without_the_checkpoint_it_is_not(tmp_path: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await _run(tmp_path, checkpoint, checkpoint)


async def test_a_lesson_of_other_days_no_longer_takes_part(tmp_path: Path) -> None:
    script = Script()
    async with scripted(tmp_path, ContentRules({}), script, set()) as services:
        session = services.session(CHANNEL, GUILD)
        await session.start("A tale", "A fox ran.", ANN)
        await session.teach("Who is it?", f"A {BANNED}.", ANN, Paper())
        await session.write(None, ANN, Paper())
        assert script.contexts[-1][1] == 1
    async with scripted(tmp_path, Blind(None), script, set()) as services:
        await services.session(CHANNEL, GUILD).write(None, ANN, Paper())
        assert script.contexts[-1][1] == 0


LISTS = rules()


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("mature", [False, True])
def test_every_term_of_the_frozen_set_is_met_in_every_form(name: str, mature: bool) -> None:
    for term in frozen():
        story, met = "They walked on and she said", False
        *first, last = parts(FORMS[name], term)
        for text in (*first, f"{last} to him."):
            met = met or LISTS.check(f" {text}", story, mature=mature) is not None
            story += f" {text}"
        assert met, term


def test_there_are_as_many_forms_and_lists_as_promised() -> None:
    assert len(FORMS) >= 60
    held = {each.key for each in built_in().lists if not each.general_use and each.alone}
    assert {each.key for each in of_operator(PLACEHOLDERS).lists} <= held
