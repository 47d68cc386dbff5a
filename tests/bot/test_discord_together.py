"""A story that several people write together, of the real process against the loopback: its modes and its table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.access import Role
from tests.bot.staff import World
from tests.bot.storytelling import begun, crowned, labels, next_of, says
from tests.discord_server import BotProcess, Channel, DiscordServer, Member
from tests.discord_server.reading import filled, told, told_by_button
from tests.discord_server.world import ATTACH_FILES

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

async def gathered(world: World, name: str, *members: Member, minutes: float = 10) -> Channel:
    """A channel with a story of Will's, and these at its table."""
    channel = world.server.guild.add_channel(name)
    options = {"title": "Fox", "premise": "A fox named Mira ran.", "mode": "round robin", "minutes": minutes}
    await world[Role.WRITER].command("story start", channel=channel, options=options).answer()
    await says(channel, "anybody, as nobody sits at the table yet; /story join takes a seat.")
    for member in members:
        await told(member.command("story join", channel=channel))
    return channel


async def test_a_round_names_who_is_next_and_hands_the_turn_on(world: World) -> None:
    will, tess, kim, stan = (world[role] for role in (Role.WRITER, Role.TEACHER, Role.KEEPER, Role.STRANGER))
    channel = await gathered(world, "round", will, tess)
    assert "role writer" in await told(stan.command("story join", channel=channel))
    assert "already" in await told(tess.command("story join", channel=channel))
    start = await says(channel, "Will; then Tess.")
    assert start.content.count("\n") > 1, "the line stands under what was there"
    assert "It is Will's turn" in await told(tess.command("story add", channel=channel, text="She fell."))
    assert "It is Will's turn" in await told_by_button(tess.click(start, "Continue"))
    assert "It is Will's turn: /story join" in await told(kim.command("story continue", channel=channel))
    will.command("story add", channel=channel, text="She saw a key.")
    reply = await says(channel, "Tess; then Will.")
    assert reply is not start
    assert "It is Tess's turn" in await told_by_button(will.click(reply, "Retry"))
    tess.click(reply, "Retry")
    tried = await crowned(world, channel, reply)
    await says(channel, "Tess; then Will.")
    tess.click(tried, "\u25c0")
    await world.server.wait_for(lambda: "1 of 2" in labels(tried), None, "the other try")
    assert next_of(tried) == "-# Next: Tess; then Will.", "the line stays where a try is turned over"
    tess.click(tried, "Continue")
    await says(channel, "Will; then Tess.")


async def test_turns_are_skipped_left_and_changed(world: World) -> None:
    will, tess, kim = world[Role.WRITER], world[Role.TEACHER], world[Role.KEEPER]
    channel = await gathered(world, "skips", tess, kim, will)
    await says(channel, "Tess; then Kim, Will.")
    answer = await told(will.command("story skip", channel=channel))
    assert answer.startswith("The turn of Tess is handed on.\n-# Next: Kim"), "who started it may"
    await says(channel, "Kim; then Will, Tess.")
    assert "Only who started this story, or a keeper" in await told(tess.command("story skip", channel=channel))
    await told(kim.command("story skip", channel=channel))
    await says(channel, "Will; then Tess, Kim.")
    assert (await told(will.command("story leave", channel=channel))).startswith("You have left the table")
    await says(channel, "Tess; then Kim.")
    assert "no seat to leave" in await told(will.command("story leave", channel=channel))
    assert "Only who started" in await told(tess.command("story mode", channel=channel, mode="free"))
    await told(kim.command("story skip", channel=channel))
    before = await says(channel, "Kim; then Tess.")
    will.command("story mode", channel=channel, mode="free")
    message = await crowned(world, channel, before)
    assert message.content == "-# From now on, as Will wants it: free, anybody writes, whenever they like."
    assert "its mode is free" in await told(will.command("story join", channel=channel))
    kim.command("story mode", channel=channel, options={"mode": "round robin", "minutes": 0})
    back = await says(channel, "Kim; then Tess.")
    assert "until" not in back.content


async def test_who_leaves_the_server_in_their_turn_hands_it_on(world: World) -> None:
    will, guest, other = (
        world[Role.WRITER],
        *(world.server.guild.add_member(name, world.writers) for name in ("Gus", "Olga")),
    )
    channel = await gathered(world, "gone", guest, other, will)
    await says(channel, "Gus; then Olga, Will.")
    guest.leave()
    assert "It is Olga's turn" in await told(will.command("story add", channel=channel, text="She fell."))
    other.leave()
    will.command("story add", channel=channel, text="She fell.")
    await says(channel, "Will.")


async def test_a_turn_that_takes_too_long_is_handed_on(world: World) -> None:
    will, tess = world[Role.WRITER], world[Role.TEACHER]
    channel = await gathered(world, "slow", will, tess, minutes=0.1)
    count = len(channel.messages)
    await says(channel, "Tess; then Will.")
    await says(channel, "Will, or whoever of the table comes first, as all have let a turn go by; then Tess.")
    assert len(channel.messages) == count, "it is told in the line that is there"
    tess.command("story continue", channel=channel)
    await says(channel, "Will; then Tess.")
    assert "choose one of those" in await told(will.command("story mode", channel=channel, options={
        "mode": "round robin", "minutes": 0.01,
    }))  # fmt: skip


async def test_a_table_outlives_the_process_and_its_message(tmp_path: Path, tiny_weights: Path) -> None:
    env = {"MINIATURE_DATA_DIR": str(tmp_path), "MINIATURE_WEIGHTS": str(tiny_weights)}
    async with DiscordServer(timeout=60) as server:
        ann, ben, channel = server.guild.add_member("Ann"), server.guild.add_member("Ben"), server.channel
        async with BotProcess(server, env=env, cwd=tmp_path) as bot:
            await bot.wait_ready()
            await ann.command("story start", options={"title": "Fox", "mode": "round robin", "minutes": 0.1}).answer()
            for member in (ann, ben):
                await told(member.command("story join"))
            message = await says(channel, "Ann; then Ben.")
            assert await bot.terminate() == 0
        async with BotProcess(server, env=env, cwd=tmp_path) as bot:
            await bot.wait_ready()
            assert "It is Ann's turn" in await told(ben.command("story add", text="A hill."))
            await says(channel, "Ben; then Ann.")
            server.delete_message(message)
            await told(ben.command("story skip"))
            anew = await says(channel, "Ann; then Ben.")
            assert anew.content.startswith("-# The story goes on.\n"), "what is gone is said again"
            channel.delete()
            assert await bot.terminate() == 0
            assert "Traceback" not in bot.output, bot.output


async def test_one_word_each(world: World) -> None:
    will, tess, channel = world[Role.WRITER], world[Role.TEACHER], world.server.guild.add_channel("words")
    options = {"title": "Fox", "premise": "A fox ran.", "mode": "one word each"}
    await will.command("story start", channel=channel, options=options).answer()
    started = await says(channel, "one word, by anybody who did not write the last one.")
    assert "each adds one word" in await told(will.command("story add", channel=channel, text="And then"))
    will.command("story add", channel=channel, text="Then,")
    first = await crowned(world, channel, started)
    shown = await told(will.command("story show", channel=channel, writers=True))
    parts = [part.split(":", 1)[0] for part in shown.split("\n\n")]
    assert parts == ["**Will**", "**the model**"], "who plays alone plays with the model"
    tess.command("story add", channel=channel, text="suddenly,")
    second = await crowned(world, channel, first)
    assert "last word is yours" in await told(tess.command("story add", channel=channel, text="she"))
    assert "suddenly," in second.content.split("\n")[-2], "the sentence so far"
    tess.click(second, "Continue")
    third = await crowned(world, channel, second)
    assert "last word is the model's" in await told_by_button(will.click(third, "Continue"))


async def test_only_the_last_line_is_seen_until_the_end(world: World) -> None:
    will, tess, channel = world[Role.WRITER], world[Role.TEACHER], world.server.guild.add_channel("sealed")
    other = await begun(will, channel)
    before = other.content
    options = {"title": "Fox", "premise": "The dax was blue. It slept.", "mode": "last line only"}
    await will.command("story start", channel=channel, options=options).answer()
    foot = "anybody; only this last line is seen until /story finish."
    started = await says(channel, foot)
    assert started.content.split("\n")[:-1] == ["**Fox**", "> **Will**", "> It slept."]
    tess.command("story add", channel=channel, text="The blicket was green. It sang.")
    reply = await crowned(world, channel, started)
    await world.server.wait_for(lambda: started.content == "-# Covered until the story is finished.", None, "a cover")
    assert reply.content.startswith("-# Tess has added to the story:\n")
    assert (other.content, other.buttons) == (before, []), "what belongs to another story stays"
    tess.click(reply, "Retry")
    tried = await crowned(world, channel, reply)
    for path, options in (("story show", {}), ("story show", {"writers": True}), ("memory show", {})):
        shown = await told(tess.command(path, channel=channel, options=options))
        assert not re.search("dax was|blicket was", shown), (path, shown)
    for path, values in (("story export", {}), ("memory history", {}), ("story edit", {})):
        assert "Only the last line" in await told(tess.command(path, channel=channel, options=values))
    tree = await tess.command("story tree", channel=channel).answer()
    assert not re.search("dax|blicket", f"{tree.content} {tree.attachments[0].description}")
    for path, option in (("story branch", "turn"), ("story pick", "try"), ("story edit", "turn")):
        choices = await tess.autocomplete(path, option, channel=channel).choices()
        assert choices
        assert not re.search("dax was|blicket was", str(choices))
    form = await will.command("story edit", channel=channel, turn=1).modal()
    will.submit(form, filled(form, "The dax was blue. It slept. It snored."))
    edited = await crowned(world, channel, tried)
    assert edited.content.split("\n")[0] == "-# Will changed an earlier part:"
    tess.click(edited, "Undo")
    undone = await crowned(world, channel, edited)
    assert next_of(undone) == f"-# Next: {foot}"
    assert "It sang" not in undone.content, "of a step one line was seen"
    seen = [message.content for message in channel.messages]
    assert not any(re.search("dax was|blicket was|snored", text) for text in seen), seen
    await tess.command("story redo", channel=channel).answer()
    await tess.command("story finish", channel=channel).answer()
    ended = channel.last_message
    assert ended is not None
    assert b"The dax was blue. It slept. It snored. The blicket was green. It sang." in ended.attachments[0].data


async def test_the_end_is_told_where_no_file_can_be_sent(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("no-files")
    options = {"title": "Fox", "premise": "The dax was blue. It slept.", "mode": "last line only"}
    await will.command("story start", channel=channel, options=options).answer()
    channel.overwrite(world.server.guild.everyone, deny=ATTACH_FILES)
    answer = await will.command("story finish", channel=channel).answer()
    assert answer.deleted, answer.content
    ended = channel.last_message
    assert ended is not None
    assert ended.content.startswith("**Fox** ends here:")
    assert ended.attachments == []
    number = re.findall(r"\d+", await told(will.command("story list", channel=channel)))[0]
    channel.overwrite(world.server.guild.everyone)
    exported = await will.command("story export", channel=channel, story=int(number)).answer()
    assert b"The dax was blue." in exported.attachments[0].data


async def test_two_who_press_at_once_get_one_reply(world: World) -> None:
    will, tess, channel = world[Role.WRITER], world[Role.TEACHER], world.server.guild.add_channel("at-once")
    message = await begun(will, channel)
    count = len(channel.messages)
    presses = [member.click(message, "Continue") for member in (will, tess)]
    reply = await crowned(world, channel, message)
    await world.server.wait_for(lambda: any(press.followups for press in presses), None, "a refusal")
    said = [followup.content for press in presses for followup in press.followups]
    assert len(said) == 1
    assert "just pressed" in said[0] or "moved on" in said[0]
    assert channel.messages[count:] == [reply]
