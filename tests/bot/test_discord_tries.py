"""Tries of a story's last part, and votes on what comes next, of the real process against the loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.access import Role
from tests.bot.staff import World
from tests.bot.storytelling import (
    BUTTONS,
    asked,
    begun,
    choice_of,
    crowned,
    labels,
    reply_of,
    shown_votes,
    turned,
)
from tests.discord_server import BotProcess, DiscordServer
from tests.discord_server.reading import told, told_by_button

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def test_tries_are_turned_over_in_their_message(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("tries")
    first = await begun(will, channel)
    texts = [reply_of(first)]
    message = first
    for number in (2, 3):
        will.click(message, "Retry")
        message = await crowned(world, channel, message)
        texts.append(reply_of(message))
        assert labels(message)[3:] == ["\u25c0", f"{number} of {number}", "\u25b6"]
    for label, number in (("\u25c0", 2), ("\u25c0", 1), ("\u25b6", 2)):
        count = len(channel.messages)
        await turned(world, will, message, label, f"{number} of 3")
        assert reply_of(message) == texts[number - 1]
        assert message.content.startswith("-# Another try, for Will\n"), "the line above stays"
        assert len(channel.messages) == count, "nothing else is written"
    disabled = [button["label"] for button in message.buttons if button.get("disabled")]
    assert disabled == ["2 of 3"]
    await turned(world, will, message, "\u25c0", "1 of 3")
    assert [button["label"] for button in message.buttons if button.get("disabled")] == ["\u25c0", "1 of 3"]
    will.click(message, "Continue")
    later = await crowned(world, channel, message)
    assert labels(later) == BUTTONS, "the only try of its kind"
    assert texts[0] in await told(will.command("story show", channel=channel))
    assert "one try only" in await told(will.command("story pick", channel=channel, options={"try": 1}))


async def test_arrows_refuse_strangers_and_old_messages(world: World) -> None:
    will, stan = world[Role.WRITER], world[Role.STRANGER]
    channel = world.server.guild.add_channel("arrows")
    first = await begun(will, channel)
    will.click(first, "Retry")
    message = await crowned(world, channel, first)
    before = (message.content, message.components)
    assert "role writer" in await told_by_button(stan.click(message, "\u25c0"))
    will.command("story continue", channel=channel)
    await crowned(world, channel, message)
    await world.server.wait_for(lambda: not message.buttons, None, "one set of buttons")
    message.components = before[1]  # as if the old ones had not gone
    for label in BUTTONS:
        assert f"moved on since: use the buttons under its latest reply, or /story {label.lower()}" in (
            await told_by_button(will.click(message, label))
        )
    assert "moved on" in await told_by_button(will.click(message, "\u25c0"))
    assert message.content == before[0]


async def test_a_try_that_cannot_stand_in_its_message_comes_as_a_new_one(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("anew")
    message = await begun(will, channel)
    first = reply_of(message)
    will.click(message, "Retry")
    message = await crowned(world, channel, message)
    message.content = "Somebody's bot has changed it."
    will.click(message, "\u25c0")
    anew = await crowned(world, channel, message)
    assert anew.content == f"-# Will chose try 1 of 2:\n{first}"
    assert labels(anew)[3:] == ["\u25c0", "1 of 2", "\u25b6"]
    choices = await will.autocomplete("story pick", "try", channel=channel).choices()
    assert [choice["value"] for choice in choices] == [1, 2]
    will.command("story pick", channel=channel, options={"try": 2})
    assert (await crowned(world, channel, anew)).content.startswith("-# Will chose try 2 of 2:\n")


async def test_a_vote_is_counted_when_its_asker_says_so(world: World) -> None:
    will, tess, stan = world[Role.WRITER], world[Role.TEACHER], world[Role.STRANGER]
    channel = world.server.guild.add_channel("votes")
    message = await begun(will, channel)
    ballot = await asked(world, will, channel)
    await world.server.wait_for(lambda: not message.buttons, None, "one set of buttons")
    head, *ways = ballot.content.split("\n", 1)[0], *ballot.content.split("\n", 1)[1].split("\n\n")
    assert head == "-# Will asks how it goes on; the vote is open for 60 s."
    assert [way[:3] for way in ways] == ["1: ", "2: ", "3: "]
    assert "role writer" in await told_by_button(stan.click(ballot, choice_of(ballot, 3)))
    for member, choice in ((will, "1"), (tess, "1"), (tess, "3"), (world[Role.KEEPER], "3")):
        member.click(ballot, choice_of(ballot, int(choice)))
        await world.server.wait_for(lambda choice=choice: shown_votes(ballot)[int(choice) - 1], None, "a vote")  # type: ignore[misc]
    await world.server.wait_for(lambda: shown_votes(ballot) == [1, 0, 2], None, "all votes")
    assert "Only who asked" in await told_by_button(tess.click(ballot, "Count now"))
    will.click(ballot, "Count now")
    counted = await crowned(world, channel, ballot)
    assert counted.content == f"-# The votes: 1 has 1, 2 has 0, 3 has 2.\n{ways[2][3:]}"
    assert labels(counted)[3:] == ["\u25c0", "3 of 3", "\u25b6"]
    await world.server.wait_for(lambda: not ballot.buttons, None, "one set of buttons")
    assert ways[2][3:] in await told(will.command("story show", channel=channel))


async def test_a_vote_counts_itself_and_ends_when_the_story_moves_on(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("alone")
    await begun(will, channel)
    ballot = await asked(world, will, channel, seconds=5)
    way = ballot.content.split("\n\n")[0].split("1: ", 1)[1]
    counted = await crowned(world, channel, ballot)
    assert counted.content == f"-# Nobody voted, so the first way it is.\n{way}"
    ballot = await asked(world, will, channel)
    buttons = ballot.components
    will.command("story continue", channel=channel)
    await crowned(world, channel, ballot)
    ballot.components = buttons  # as if they had not gone
    assert "moved on" in await told_by_button(will.click(ballot, choice_of(ballot, 2)))


async def test_arrows_and_votes_outlive_the_process(tmp_path: Path, tiny_weights: Path) -> None:
    env = {"MINIATURE_DATA_DIR": str(tmp_path), "MINIATURE_WEIGHTS": str(tiny_weights),
           "MINIATURE_TEMPERATURE": "5", "MINIATURE_MAX_NEW_TOKENS": "12"}  # fmt: skip
    async with DiscordServer(timeout=60) as server:
        world, will = World(server), server.guild.add_member("Willa")
        tries, votes = server.channel, server.guild.add_channel("votes")
        async with BotProcess(server, env=env, cwd=tmp_path) as bot:
            await bot.wait_ready()
            first = await begun(will, tries)
            will.click(first, "Retry")
            message = await crowned(world, tries, first)
            await begun(will, votes)
            ballot = await asked(world, will, votes)
            will.click(ballot, choice_of(ballot, 2))
            await server.wait_for(lambda: shown_votes(ballot) == [0, 1, 0], None, "a vote")
            assert await bot.terminate() == 0
        async with BotProcess(server, env=env, cwd=tmp_path) as bot:
            await bot.wait_ready()
            await turned(world, will, message, "\u25c0", "1 of 2")
            assert reply_of(message) == reply_of(first)
            will.click(ballot, choice_of(ballot, 3))
            await server.wait_for(lambda: shown_votes(ballot) == [0, 0, 1], None, "a vote that begins anew")
            will.click(ballot, "Count now")
            assert (await crowned(world, votes, ballot)).content.startswith("-# The votes: 1 has 0, 2 has 0, 3 has 1.")
            assert await bot.terminate() == 0
            assert "Traceback" not in bot.output, bot.output
