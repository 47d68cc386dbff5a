"""Edits, branches and the tree of a story, of the real process against the loopback."""

from __future__ import annotations

import pytest

from bot.access import Role
from bot.output import harmless
from tests.bot.staff import World
from tests.bot.storytelling import (
    BUTTONS,
    begun,
    crowned,
    labels,
)
from tests.discord_server.reading import filled, told

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def test_a_part_is_edited_in_a_form(world: World) -> None:
    will, tess = world[Role.WRITER], world[Role.TEACHER]
    channel = world.server.guild.add_channel("edits")
    message = await begun(will, channel)
    form = await will.command("story edit", channel=channel).modal()
    assert form.inputs[0]["max_length"] == 4000
    assert harmless(form.inputs[0]["value"]) in message.content
    will.submit(form, filled(form, "Then Mira *sang* to @everyone."))
    edited = await crowned(world, channel, message)
    assert edited.content == "-# Will changed the last part:\nThen Mira \\*sang\\* to @\u200beveryone."
    assert labels(edited)[3:] == ["\u25c0", "2 of 2", "\u25b6"]
    choices = await will.autocomplete("story edit", "turn", channel=channel, turn="fox").choices()
    assert [choice["name"] for choice in choices] == ["1: A fox named Mira ran. (Will)"]
    assert "Somebody else" in await told(tess.command("story edit", channel=channel, turn=1))
    assert "no turn 9" in await told(will.command("story edit", channel=channel, turn=9))
    form, late = [await will.command("story edit", channel=channel, turn=1).modal() for _ in range(2)]
    will.submit(form, filled(form, "A hare named Mira ran."))
    earlier = await crowned(world, channel, edited)
    assert earlier.content == "-# Will changed an earlier part:\nA hare named Mira ran."
    assert labels(earlier) == ["Continue", "Undo", "Redo"]
    assert "A hare named Mira ran." in await told(will.command("story show", channel=channel))
    again = will.submit(late, filled(late, "Nobody."))
    given_back = await again.answer()
    assert "another way" in given_back.content
    assert given_back.attachments[0].data.decode() == "Nobody.", "a form forgets what was typed into it"


async def test_longer_text_is_added_in_a_form(world: World) -> None:
    will, stan = world[Role.WRITER], world[Role.STRANGER]
    channel = world.server.guild.add_channel("forms")
    message = await begun(will, channel)
    assert "role writer" in await told(stan.command("story add", channel=channel))
    form, late = [await will.command("story add", channel=channel).modal() for _ in range(2)]
    will.submit(form, filled(form, "Mira ran home.\n" + "She sang. " * 398))
    reply = await crowned(world, channel, message)
    assert labels(reply) == BUTTONS
    assert any(other.content.startswith("> **Will**\n> Mira ran home.\n> She sang.") for other in channel.messages)
    await will.command("story finish", channel=channel).answer()
    answer = await will.submit(late, filled(late, "Then Mira slept.")).answer()
    assert "start one" in answer.content
    assert answer.attachments[0].data.decode() == "Then Mira slept.", "a form forgets what was typed into it"


async def test_a_branch_goes_back_and_leaves_the_rest_in_the_tree(world: World) -> None:
    will, stan = world[Role.WRITER], world[Role.STRANGER]
    channel = world.server.guild.add_channel("branches")
    message = await begun(will, channel)
    choices = await will.autocomplete("story branch", "turn", channel=channel).choices()
    assert [choice["value"] for choice in choices] == [3, 2, 1], "the newest first"
    assert choices[0]["name"].endswith("(the model)")
    assert await stan.autocomplete("story branch", "turn", channel=channel).choices() == []
    will.command("story branch", channel=channel, turn=1)
    back = await crowned(world, channel, message)
    assert back.content == "-# Will went to turn 1, and the story goes on from it:\nA fox named Mira ran."
    assert "She saw" not in await told(will.command("story show", channel=channel))
    assert "no turn 77" in await told(will.command("story branch", channel=channel, turn=77))
    will.click(back, "Redo")
    redone = await crowned(world, channel, back)
    assert "She saw a key." in redone.content


async def test_the_tree_is_a_picture_with_words(world: World) -> None:
    will, stan = world[Role.WRITER], world[Role.STRANGER]
    channel = world.server.guild.add_channel("tree")
    message = await begun(will, channel)
    will.click(message, "Retry")
    await crowned(world, channel, message)
    answer = await stan.command("story tree", channel=channel).answer()
    assert answer.ephemeral
    (file,) = answer.attachments
    assert file.filename == "tree.png"
    assert file.data.startswith(b"\x89PNG\r\n\x1a\n")
    assert file.description is not None
    assert file.description.startswith("* 1: A fox named Mira ran. (Will) / * 2: She saw a key. (Will) / ")
    assert [line[:6] for line in answer.content.splitlines()[1:]] == ["**4** ", "**3** "], "the newest first"


async def test_a_note_steers_and_is_shown(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("notes")
    message = await begun(will, channel)
    set_ = await told(will.command("story note", channel=channel, text="It is *night*, says Mira.", depth=2))
    assert set_.endswith("It reads: It is \\*night\\*, says Mira.")
    shown = await told(will.command("memory show", channel=channel))
    assert "Note, 2 lines before the end of the text (" in shown
    assert "It is \\*night\\*, says Mira. (Will)" in shown
    will.command("story continue", channel=channel, length="short")
    reply = await crowned(world, channel, message)
    assert "night" not in reply.content
    assert "The note is gone: It is" in await told(will.command("story note", channel=channel))
    assert "has no note" in await told(will.command("story note", channel=channel))
