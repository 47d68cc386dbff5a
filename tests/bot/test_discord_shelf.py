"""The stories of a channel, and the files that they leave as and come from, against the loopback."""

from __future__ import annotations

import re

import pytest

from bot.access import Role
from tests.bot.staff import World
from tests.bot.storytelling import (
    NOBODY,
    begun,
    crowned,
)
from tests.discord_server import Upload
from tests.discord_server.reading import told

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def test_stories_are_finished_listed_and_resumed(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("shelf")
    message = await begun(will, channel)
    await will.command("story finish", channel=channel).answer()
    ended = channel.last_message
    assert ended is not None
    assert re.fullmatch(r"\*\*Fox\*\* ends here: \d+ characters in 3 turns\.\n-# .*", ended.content)
    assert message.buttons == [], "what is over has no buttons"
    assert "start one" in await told(will.command("story continue", channel=channel))
    await will.command("story start", channel=channel, title="Hen *two*").answer()
    listed = (await told(will.command("story list", channel=channel))).splitlines()
    assert [re.sub(r"^\*\*\d+\*\* ", "", line)[:4] for line in listed] == ["Hen ", "Fox "]
    assert listed[0].endswith(", under way)")
    number = int(re.findall(r"\d+", listed[1])[0])
    choices = await will.autocomplete("story resume", "story", channel=channel, story="fox").choices()
    assert [choice["value"] for choice in choices] == [number]
    last = channel.last_message
    will.command("story resume", channel=channel, story=number)
    resumed = await crowned(world, channel, last)
    assert resumed.content.startswith("**Fox**\n-# The story goes on; its last part was:\n")
    assert "no story 999999" in await told(will.command("story resume", channel=channel, story=NOBODY))


async def test_the_story_comes_as_a_file(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("files")
    await begun(will, channel)
    kinds = {"markdown": b"# Fox\n\nA fox named Mira ran.", "html": b"<!DOCTYPE html>", "epub": b"PK\x03\x04"}
    for form, beginning in kinds.items():
        answer = await will.command("story export", channel=channel, options={"format": form}).answer()
        assert answer.ephemeral
        assert answer.attachments[0].filename == f"fox.{'md' if form == 'markdown' else form}"
        assert answer.attachments[0].data.startswith(beginning)
    await will.command("story finish", channel=channel).answer()
    number = int(re.findall(r"\d+", await told(will.command("story list", channel=channel)))[0])
    over = await will.command("story export", channel=channel, story=number).answer()
    assert over.attachments[0].data.startswith(kinds["markdown"]), "what is over can still be had"
    assert "no story 999999" in await told(will.command("story export", channel=channel, story=NOBODY))
    world.server.attachment_size_limit = 10
    assert "can be sent here" in await told(will.command("story export", channel=channel, story=number))
    world.server.attachment_size_limit = 10 << 20


async def test_a_text_file_becomes_a_story(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("brought")
    text = "\n\n".join(f"Part {number}. The hen walked on and on. *No*." + " She sang." * 40 for number in range(12))
    will.command("story import", channel=channel, file=Upload("the-hen.txt", text.encode()))
    end = await crowned(world, channel, None)
    assert end.content.startswith("**the-hen**\n-# Will brought 5,")
    assert end.content.endswith("She sang.")
    exported = await will.command("story export", channel=channel).answer()
    assert exported.attachments[0].data.decode() == f"# the-hen\n\n{text}\n\n---\n\n*Written by Will.*\n"
    again = Upload("again.md", exported.attachments[0].data)
    will.command("story import", channel=channel, file=again, title="The hen")
    assert (await crowned(world, channel, end)).content.startswith("**The hen**")
    exported = await will.command("story export", channel=channel).answer()
    assert exported.attachments[0].data.decode() == f"# The hen\n\n{text}\n\n---\n\n*Written by Will.*\n"
    for file, sentence in (
        (Upload("photo.png", b"\x89PNG\r\n\x1a\n\xff"), "no text in UTF-8"),
        (Upload("empty.txt", b" \n\n "), "no text in it"),
        (Upload("long.txt", b"x " * 100_001), "limit is 200,000"),
        (Upload("huge.txt", b"x" * 900_000), "has 878 kB"),
    ):
        assert sentence in await told(will.command("story import", channel=channel, file=file))
