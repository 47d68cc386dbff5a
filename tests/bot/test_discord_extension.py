"""The extension in a bot of somebody else's, without a connection: what it adds, declares, and takes away again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord import app_commands
from discord.ext import commands

from bot.access import ACTIONS
from bot.gate import Gate
from bot.services import Services
from bot.story_cog import StoryCog
from bot.views import (
    CONFIRMED,
    MAX_INPUT,
    MEMORY_COG,
    STORY_COG,
    VERBS,
    ConfirmButton,
    LessonModal,
    StoryButton,
    SummaryModal,
    confirm,
    controls,
)
from config.settings import load_settings
from tests.discord_server.payloads import Check, check_commands, check_message, check_modal


@pytest.fixture
def environment(tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIATURE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MINIATURE_WEIGHTS", str(tiny_weights))


@pytest.fixture
async def bot(environment: None) -> AsyncIterator[commands.Bot]:
    bot = commands.Bot(commands.when_mentioned, intents=discord.Intents.none())
    await bot.load_extension("bot.extension")
    yield bot
    await bot.close()


def every_command(bot: commands.Bot) -> list[app_commands.Command[Any, ..., Any]]:
    return [found for found in bot.tree.walk_commands() if isinstance(found, app_commands.Command)]


async def test_every_command_and_button_has_its_action(bot: commands.Bot) -> None:
    actions = {found.qualified_name: found.extras["action"] for found in every_command(bot)}
    actions |= {f"button {verb}": action for verb, action in VERBS.items()}
    assert set(actions.values()) == set(ACTIONS), "no action without a way to do it, no way without an action"
    assert bot.tree.get_commands(type=discord.AppCommandType.message) == []
    assert bot.tree.get_commands(type=discord.AppCommandType.user) == []


async def test_a_command_asks_the_gate_before_it_does_anything(bot: commands.Bot) -> None:
    asked: list[str] = []

    async def perform(interaction: object, action: str, work: object, **options: object) -> None:
        asked.append(action)

    gates = {cog: cog.gate for cog in bot.cogs.values()}  # type: ignore[attr-defined]
    for cog in gates:
        cog.gate = SimpleNamespace(perform=perform)  # type: ignore[attr-defined]
    for found in every_command(bot):
        asked.clear()
        options = dict.fromkeys(parameter.name for parameter in found.parameters)
        await found.callback(found.binding, None, **options)  # type: ignore[arg-type]
        assert asked == [found.extras["action"]], found.qualified_name
    memory: Any = bot.get_cog(MEMORY_COG)
    asked.clear()
    await memory.confirmed(None, 1)
    assert asked == ["memory.reset"]
    story: Any = bot.get_cog(STORY_COG)
    for verb, action in VERBS.items():
        asked.clear()
        await story.press(None, verb, 1)
        assert asked == [action]
    for cog, gate in gates.items():  # with the real one comes the engine's thread, which would keep the process alive
        cog.gate = gate  # type: ignore[attr-defined]


async def test_the_platform_takes_commands_buttons_and_form(bot: commands.Bot) -> None:
    check = Check()
    check_commands(check, [found.to_dict(bot.tree) for found in bot.tree.get_commands()])
    longest = controls((1 << 63) - 1, *VERBS)
    questions = [(confirm(what, (1 << 63) - 1), ConfirmButton) for what in CONFIRMED]
    for view, button in ((longest, StoryButton), *questions):
        check_message(check, {"components": view.to_components()})
        assert all(button.__discord_ui_compiled_template__.fullmatch(b.custom_id) for b in view.children)  # type: ignore[attr-defined]
    check_modal(check, LessonModal(lambda *_: asyncio.sleep(0)).to_dict())
    for text in ("", "x" * MAX_INPUT):
        check_modal(check, SummaryModal(text, lambda *_: asyncio.sleep(0)).to_dict())
    assert check.errors == []


async def test_the_host_is_left_as_it_was(environment: None) -> None:
    bot = commands.Bot(commands.when_mentioned, intents=discord.Intents.none())

    @bot.tree.command(name="own", description="The host's")
    async def own(interaction: discord.Interaction[Any]) -> None: ...

    before = (bot.tree.on_error, bot.tree.interaction_check, bot.intents.value, bot.allowed_mentions)
    for _ in range(2):  # loaded, unloaded, loaded again
        await bot.load_extension("bot.extension")
        cog = bot.get_cog(STORY_COG)
        assert isinstance(cog, StoryCog)
        assert {found.name for found in bot.tree.get_commands()} > {"own", "story"}
        assert (bot.tree.on_error, bot.tree.interaction_check, bot.intents.value, bot.allowed_mentions) == before
        await bot.unload_extension("bot.extension")
        assert [found.name for found in bot.tree.get_commands()] == ["own"]
        assert bot.cogs == {}
        assert not bot._connection._view_store._dynamic_items
    await bot.close()


async def test_the_gate_waits_for_what_is_being_done(environment: None) -> None:
    async with await Services.open(load_settings()) as services:
        bot: Any = SimpleNamespace()
        gate = Gate(bot, services)
        begun, done = asyncio.Event(), asyncio.Event()

        class Stoppable:
            def stop(self) -> bool:
                done.set()
                return True

        async def write() -> None:
            session: Any = Stoppable()
            task = asyncio.current_task()
            assert task is not None
            gate._running.add(task)
            with gate.writing(session):
                begun.set()
                await done.wait()
            gate._running.discard(task)

        task = asyncio.create_task(write())
        await begun.wait()
        await gate.close()
        assert task.done()
        assert not task.cancelled()
