"""A channel's story in its session, on a real engine with tiny weights, and a real store."""

from __future__ import annotations

import asyncio
import shutil
import string
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bot.errors import InputError, RefusedError
from bot.manuscript import MAX_TEXT
from bot.memory_page import page_of
from bot.replying import LENGTHS, STOPPED, sized
from bot.rules import ContentRules
from bot.services import Services
from config.settings import Settings, load_settings
from engine.errors import EngineClosedError, QueueFullError, WeightsError
from memory import NewTurn, NoStoryError, NotFoundError, NothingToUndoError, Store
from tests.bot.conftest import ANN, BANNED, BEN, CHATTY, Paper, open_services

CHANNEL = 7
ENDLESS = replace(CHATTY, max_new_tokens=4000, min_new_tokens=4000)  # not over before it is stopped
LONG = "The fox ran over the hill and through the wood until she came to a river. " * 12


async def _written(services: Services, count: int = 1) -> None:
    session = services.session(CHANNEL)
    await session.start("The fox", "Once upon a time, there was a fox.", ANN)
    for _ in range(count):
        await session.write("Then Mira saw Tom.", ANN, Paper())


async def test_a_turn_is_stored_with_its_reply_in_one_step(services: Services) -> None:
    await _written(services, 0)
    paper = Paper()
    reply = await services.session(CHANNEL).write("  Then\x00 Mira saw Tom.\r\n", ANN, paper)
    member, model = reply.turns
    assert (member.text, member.author_name, member.kind) == (" Then Mira saw Tom.", "Ann", "member")
    assert (model.text, model.kind) == (paper.finished[0], "model")
    assert member.step == model.step
    assert all(paper.finished[0].startswith(text) for text in paper.shown)
    assert await services.store.path(CHANNEL) != []
    assert len(await services.session(CHANNEL).undo()) == 2
    assert len(await services.session(CHANNEL).redo()) == 2


async def test_continue_adds_the_models_text_alone_and_retry_a_sibling(services: Services) -> None:
    await _written(services)
    first = (await services.session(CHANNEL).write(None, BEN, Paper())).turns[0]
    second = (await services.session(CHANNEL).retry(BEN, Paper())).turns[0]
    assert (first.parent, first.step, first.kind) == (second.parent, second.step, "model")
    assert [turn.id for turn in await services.store.siblings(CHANNEL, second.id)] == [first.id, second.id]


async def test_retry_needs_a_reply(services: Services) -> None:
    await _written(services, 0)
    with pytest.raises(InputError, match="continue"):
        await services.session(CHANNEL).retry(ANN, Paper())


async def test_without_a_story_nothing_is_written(services: Services) -> None:
    session = services.session(CHANNEL)
    for attempt in (session.write("Hello.", ANN, Paper()), session.retry(ANN, Paper()), session.export()):
        with pytest.raises(NoStoryError):
            await attempt


@pytest.mark.parametrize("text", ["", "  \n\t", "\x00\x07\x1b", "x" * (MAX_TEXT + 1), "x" * 10_000])
async def test_text_that_cannot_be_a_turn_is_refused_in_a_sentence(services: Services, text: str) -> None:
    await _written(services, 0)
    with pytest.raises(InputError, match=r"Your text .*[.]$"):
        await services.session(CHANNEL).write(text, ANN, Paper())
    assert len(await services.store.path(CHANNEL)) == 1


@pytest.mark.parametrize("text", ["🦊🏞️👨‍👩‍👧", "\x1b[31mred\x1b[0m", "x" * MAX_TEXT, "\ud800 half", "مرحبا", "a\n\nb"])
async def test_odd_text_becomes_a_turn(services: Services, text: str) -> None:
    await _written(services, 0)
    member = (await services.session(CHANNEL).write(text, ANN, Paper())).turns[0]
    assert member.kind == "member"
    assert not {"\x1b", "\ud800"} & set(member.text)


async def test_a_sink_that_fails_leaves_the_story_as_it_was(chatty_services: Services) -> None:
    services = chatty_services
    await _written(services)
    before = await services.store.path(CHANNEL)

    def fail(text: str) -> None:
        raise ConnectionError("the channel is gone")

    for sink in (Paper(on_finish=fail), Paper(on_show=fail)):
        with pytest.raises(ConnectionError):
            await services.session(CHANNEL).write("Lost words.", ANN, sink)
    assert await services.store.path(CHANNEL) == before
    assert not services.session(CHANNEL).stop()


async def test_a_cancelled_caller_leaves_the_story_as_it_was_and_the_channel_free(settings: Settings) -> None:
    async with await open_services(settings, ENDLESS) as services:
        await _written(services, 0)
        before = await services.store.path(CHANNEL)
        begun = asyncio.Event()
        session = services.session(CHANNEL)
        task = asyncio.ensure_future(
            session.write("Lost words.", ANN, Paper(on_show=lambda text: begun.set() or task.cancel()))
        )
        with pytest.raises(asyncio.CancelledError):
            await task
        assert begun.is_set()
        assert await services.store.path(CHANNEL) == before
        assert (await session.write("Then it rained.", ANN, Paper(on_show=lambda text: session.stop()))).turns


async def test_stop_keeps_what_was_written(settings: Settings) -> None:
    async with await open_services(settings, ENDLESS) as services:
        await _written(services, 0)
        session = services.session(CHANNEL)
        paper = Paper(on_show=lambda text: session.stop())
        reply = await session.write("Then", ANN, paper)
        assert reply.generated is not None
        assert reply.generated.finish_reason == "cancelled"
        assert reply.turns[-1].text == paper.finished[0] != ""
        assert not session.stop()


async def test_stop_in_the_queue_keeps_the_members_turn(services: Services) -> None:
    await _written(services, 0)
    blocker = services.session(8)
    await blocker.start("Other", "There was a hen.", BEN)
    session = services.session(CHANNEL)
    waiting: list[int] = []

    class Impatient(Paper):
        async def queued(self, position: int, expected_wait: float) -> None:
            waiting.append(position)
            session.stop()

    first = asyncio.ensure_future(blocker.write("One.", BEN, Paper(on_show=lambda text: None)))
    reply = await session.write("Two.", ANN, Impatient())
    await first
    if waiting:  # else the other reply was over at once
        assert reply.notice == STOPPED
        assert [turn.text for turn in reply.turns] == [" Two."]


async def test_turns_of_one_channel_come_one_after_the_other(services: Services) -> None:
    await _written(services, 0)
    session = services.session(CHANNEL)
    await asyncio.gather(*(session.write(f"Turn {n}.", ANN, Paper()) for n in range(5)))
    path = await services.store.path(CHANNEL)
    assert [turn.text for turn in path if turn.kind == "member"] == [f" Turn {n}." for n in range(5)]
    assert all(a.id == b.parent for a, b in pairwise(path))


async def test_only_so_many_wait_for_a_channel(settings: Settings, tiny_weights: Path) -> None:
    async with await Services.open(settings.model_copy(update={"channel_queue_size": 2})) as services:
        await _written(services, 0)
        session = services.session(CHANNEL)
        results = await asyncio.gather(*(session.write("x", ANN, Paper()) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(result, QueueFullError) for result in results) >= 3


async def test_the_rules_hold_at_every_gate(services: Services) -> None:
    await _written(services)
    session = services.session(CHANNEL)
    before = await services.store.path(CHANNEL)
    for attempt in (
        session.write(f"A {BANNED} came.", ANN, Paper()),
        session.start(BANNED, "", ANN),
        session.start("Title", f"A {BANNED}.", ANN),
        session.teach("What came?", f"A {BANNED}.", ANN, Paper()),
        session.teach(BANNED, "It came.", ANN, Paper()),
        session.pin(f"{BANNED} is red", ANN),
        session.pin("It is red", ANN, [BANNED]),
        session.edit_summary(f"Names: Mira, {BANNED}", ANN),
    ):
        with pytest.raises(RefusedError) as refusal:
            await attempt
        assert BANNED not in str(refusal.value)
    assert await services.store.path(CHANNEL) == before
    assert await session.lessons() == []
    assert (await session.memory()).pins == []


async def test_a_reply_that_the_rules_refuse_is_not_stored(chatty_services: Services) -> None:
    services = chatty_services
    await services.session(CHANNEL).start("The fox", "…", ANN)
    every_word = ContentRules({"all words": [f"{letter}*" for letter in string.ascii_lowercase]})
    strict = Services(services.settings, services.store, services.worker, every_word, sampling=CHATTY)
    paper = Paper()
    with pytest.raises(RefusedError, match="The reply"):
        await strict.session(CHANNEL).write(None, ANN, paper)
    assert paper.finished == []
    assert not set("".join(paper.shown)) & set(string.ascii_letters)
    assert len(await services.store.path(CHANNEL)) == 1
    assert (await services.session(CHANNEL).write(None, ANN, Paper())).turns


async def test_what_was_stored_under_looser_rules_is_not_continued(services: Services) -> None:
    await _written(services)
    story = await services.session(CHANNEL).story()
    assert story is not None
    await services.store.append(CHANNEL, [NewTurn(ANN, "member", f" A {BANNED} came.")], after=story.head)
    with pytest.raises(RefusedError, match="The story so far"):
        await services.session(CHANNEL).write(None, ANN, Paper())
    await services.session(CHANNEL).undo()
    assert (await services.session(CHANNEL).write(None, ANN, Paper())).turns


async def test_export_reads_as_one_text_with_its_writers(services: Services) -> None:
    await _written(services)
    await services.session(CHANNEL).write("The end.", BEN, Paper())
    name, content = await services.session(CHANNEL).export()
    text = content.decode()
    assert name == "the-fox.md"
    assert text.startswith("# The fox\n\nOnce upon a time, there was a fox. Then Mira saw Tom.")
    assert text.endswith("*Written by Ann, Ben and the model tiny.*\n")


async def test_a_story_whose_start_is_undone_stands_at_its_premise(services: Services) -> None:
    await _written(services, 0)
    with pytest.raises(NothingToUndoError):
        await services.session(CHANNEL).undo()


async def test_channels_come_and_go_without_a_trace_in_memory(settings: Settings) -> None:
    async with await Services.open(settings) as services:
        held = services.session(1)
        for channel in range(2, 2000):
            services.session(channel)
        assert services.sessions < 200
        assert services.session(1) is held


async def test_after_a_close_nothing_is_taken_and_what_was_written_is_kept(settings: Settings) -> None:
    services = await open_services(settings, CHATTY)
    await _written(services)
    session = services.session(CHANNEL)
    paper = Paper(on_show=lambda text: closing or closing.append(asyncio.ensure_future(services.close(drain=False))))
    closing: list[asyncio.Future[None]] = []
    reply = await session.write("Then it rained.", ANN, paper)
    await closing[0]
    await services.close()
    with pytest.raises(EngineClosedError):
        services.worker.summarize("x", None)
    async with await Store.open(settings.database_file) as store:
        assert (await store.path(CHANNEL))[-1].id == reply.turns[-1].id


async def test_the_shelf(tmp_path: Path, settings: Settings, tiny_weights: Path, other_tiny_weights: Path) -> None:
    shelf_folder = settings.data_dir / "weights"
    shelf_folder.mkdir(parents=True)
    (shelf_folder / "other").symlink_to(other_tiny_weights)
    (shelf_folder / "broken").mkdir()
    (shelf_folder / "broken" / "config.json").write_text("{")
    async with await Services.open(settings) as services:
        entries = {entry.name: entry for entry in services.shelf.list()}
        assert entries["tiny"].active
        assert entries["broken"].problem
        assert not entries["other"].problem
        for name, error in (("nowhere", InputError), ("tiny", InputError), ("broken", WeightsError)):
            with pytest.raises(error):
                await services.shelf.activate(name, ANN)
        with pytest.raises(InputError, match="no earlier"):
            await services.shelf.rollback(ANN)
        assert services.worker.engine_info.name == "tiny"
        await services.shelf.activate("other", ANN)
        assert services.worker.engine_info.name == "other-tiny"
        await services.shelf.rollback(ANN)
        assert services.worker.engine_info.name == "tiny"
        await services.shelf.activate("other", ANN)
        assert [row.action for row in await services.store.audit_rows(2)] == ["weights.activate", "weights.rollback"]
    remembering = settings.model_copy(update={"weights": None})
    async with await Services.open(remembering) as services:
        assert services.worker.engine_info.name == "other-tiny"
        assert services.notices == []


async def test_weights_that_are_gone_or_damaged_leave_nothing_open(tmp_path: Path, tiny_weights: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_weights, copy)
    (copy / "model.safetensors").write_bytes((tiny_weights / "model.safetensors").read_bytes()[:1000])
    for folder in (tmp_path / "nowhere", tmp_path, copy):
        with pytest.raises(WeightsError):
            await Services.open(load_settings(data_dir=tmp_path, weights=folder))
    async with await Store.open(tmp_path / "memory.sqlite3"):  # nothing holds it any more
        pass


async def test_a_note_is_seen_until_it_is_taken_away(services: Services) -> None:
    session = services.session(CHANNEL)
    with pytest.raises(NoStoryError):
        await session.put_note("Whisper.", 3, ANN)
    await _written(services)
    before = await session.memory()
    await session.put_note("It is  night.", 2, BEN)
    view = await session.memory()
    assert view.note is not None
    assert (view.note.text, view.note.depth, before.note, before.note_tokens) == ("It is night.", 2, None, 0)
    assert view.note_tokens > 0
    assert view.free_tokens == before.free_tokens - view.note_tokens
    assert "Note, 2 lines before the end of the text" in page_of(view).text
    assert (await session.write(None, ANN, Paper())).turns
    assert "night" not in (await session.export())[1].decode(), "a steer is no text"
    for text, depth in (("", 3), ("x" * 301, 3), ("Whisper.", 0), ("Whisper.", 21)):
        with pytest.raises(InputError):
            await session.put_note(text, depth, ANN)
    with pytest.raises(RefusedError):
        await session.put_note(f"A {BANNED} comes.", 3, ANN)
    await session.put_note("word " * 60, 3, ANN)
    assert "left out as it takes too much room" in page_of(await session.memory()).text
    assert (await session.write(None, ANN, Paper())).turns
    await session.remove_note()
    with pytest.raises(NotFoundError):
        await session.remove_note()
    assert (await session.memory()).note is None


async def test_a_reply_is_as_long_as_it_was_asked_for(chatty_services: Services) -> None:
    await _written(chatty_services, 0)
    session = chatty_services.session(CHANNEL)
    tokens = {}
    for length in LENGTHS:
        generated = (await session.write(None, ANN, Paper(), length)).generated
        again = (await session.retry(ANN, Paper(), length)).generated
        await session.undo()
        added = (await session.write("She ran.", ANN, Paper(), length)).generated
        await session.undo()
        assert generated is not None
        tokens[length] = generated.tokens
        assert (again and again.tokens, added and added.tokens) == (generated.tokens, generated.tokens)
    assert tokens["short"] == 48
    assert tokens["medium"] == 120
    assert sized(CHATTY, "long", 128).max_new_tokens == 120, "half of a window is for what it goes on from"
    assert sized(CHATTY, "long", 1024).max_new_tokens == 240
