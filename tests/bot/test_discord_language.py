"""A channel in another language, of the real process against the loopback."""

from __future__ import annotations

import pytest

from bot.access import Role
from tests.bot.staff import World
from tests.bot.storytelling import begun, labels, reply_of, turned
from tests.discord_server import Channel, Message
from tests.discord_server.reading import told, told_by_button

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

AFTER_REPLY = ["Weiter", "Nochmal", "Zurücknehmen"]
AFTER_MOVE = ["Weiter", "Zurücknehmen", "Wiederholen"]


async def labelled(channel: Channel, after: Message | None, *words: str) -> Message:
    """The next message whose buttons begin with these words."""

    def look() -> Message | None:
        last = channel.last_message
        return last if last is not None and last is not after and labels(last)[: len(words)] == list(words) else None

    message = await channel.server.wait_for(look, None, f"buttons {words}")
    assert message is not None
    return message


async def test_a_story_goes_on_in_german(world: World) -> None:
    will, kim, channel = world[Role.WRITER], world[Role.KEEPER], world.server.guild.add_channel("deutsch")
    english = await begun(will, channel)
    assert "role keeper" in await told(will.command("settings set", channel=channel, name="language", value="German"))
    choices = await kim.autocomplete("settings set", "value", channel=channel, name="language", value="g").choices()
    assert "German" in [choice["value"] for choice in choices]
    answer = await told(kim.command("settings set", channel=channel, name="language", value="german"))
    assert answer == "From the next reply on language is German in this channel."
    will.click(english, "Retry")  # a button from before
    tried = await labelled(channel, english, *AFTER_REPLY)
    assert tried.content.startswith("-# Noch ein Versuch, für Will\n")
    assert labels(tried)[3:] == ["\u25c0", "2 von 2", "\u25b6"]
    await turned(world, will, tried, "\u25c0", "1 von 2")
    assert labels(tried)[:3] == AFTER_REPLY, "they stay where a try is turned over"
    will.click(tried, "Weiter")
    reply = await labelled(channel, tried, *AFTER_REPLY)
    will.click(reply, "Zurücknehmen")
    undone = await labelled(channel, reply, *AFTER_MOVE)
    assert undone.content.startswith("-# Will hat zurückgenommen: ")
    will.click(undone, "Wiederholen")
    redone = await labelled(channel, undone, *AFTER_MOVE)
    assert redone.content.startswith("-# Will hat zurückgeholt:\n")
    assert reply_of(redone) == reply_of(reply)
    await told(kim.command("settings set", channel=channel, name="language", value="English"))
    will.click(redone, "Weiter")
    await labelled(channel, redone, "Continue", "Retry", "Undo")


async def test_a_vote_and_a_table_in_a_german_server(world: World) -> None:
    will, tess, kim = world[Role.WRITER], world[Role.TEACHER], world[Role.KEEPER]
    channel = world.server.guild.add_channel("runde")
    await begun(will, channel)
    await told(kim.command("settings set", channel=channel, name="language", value="German", where="server"))
    before = channel.last_message
    will.command("story vote", channel=channel)
    ballot = await labelled(channel, before, "1", "2", "3", "Jetzt auszählen")
    assert ballot.content.startswith("-# Will fragt, wie es weitergeht; abgestimmt wird 60 s lang.\n")
    tess.click(ballot, "2")
    await world.server.wait_for(lambda: "2 (1)" in labels(ballot), None, "a vote")
    assert labels(ballot)[3:] == ["Jetzt auszählen"]
    will.click(ballot, "Jetzt auszählen")
    counted = await labelled(channel, ballot, *AFTER_REPLY)
    assert counted.content.startswith("-# Die Stimmen: 1 hat 0, 2 hat 1, 3 hat 0.\n")
    will.command("story mode", channel=channel, options={"mode": "round robin", "minutes": 0})
    changed = await labelled(channel, counted, *AFTER_MOVE)
    assert changed.content.startswith("-# Von jetzt an, wie Will es will: reihum, ")
    for member in (will, tess):
        await told(member.command("story join", channel=channel))
    await world.server.wait_for(lambda: changed.content.endswith("\n-# Als Nächstes: Will; dann Tess."), None, "a line")
    await told(kim.command("settings set", channel=channel, name="language", value="French", where="server"))
    assert "It is Will's turn" in await told_by_button(tess.click(changed, "Weiter"))
    await told(will.command("story skip", channel=channel))
    await world.server.wait_for(lambda: changed.content.endswith("\n-# Ensuite : Tess ; puis Will."), None, "a line")
    assert "Als Nächstes" not in changed.content, "one line, whatever its language was"
    await told(kim.command("settings clear", channel=channel, where="server"))
    answer = await will.command("story finish", channel=channel).answer()
    assert answer.deleted or answer.content
    ended = channel.last_message
    assert ended is not None
    assert ended.content.startswith("**Fox** ends here: ")
