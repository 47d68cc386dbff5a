"""/story of the real process against the loopback: who may, tries and branches, what becomes of the channel."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.access import ACTIONS, Role, allowed
from bot.output import harmless
from tests.bot.staff import World, staffed
from tests.conftest import write_tiny_weights
from tests.discord_server import BotProcess, Channel, DiscordServer, Member, Message, Upload
from tests.discord_server.reading import filled, told, told_by_button

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

NOBODY = 999_999
BUTTONS = ["Continue", "Retry", "Undo"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    data = tmp_path_factory.mktemp("data")
    weights = write_tiny_weights(data / "weights" / "tiny", 1)
    env = {"MINIATURE_DATA_DIR": str(data), "MINIATURE_WEIGHTS": str(weights),
           "MINIATURE_TEMPERATURE": "5", "MINIATURE_MAX_NEW_TOKENS": "12"}  # fmt: skip
    async with staffed(env) as world:
        yield world


def cases() -> Mapping[str, tuple[str, dict[str, Any]]]:
    """Each action as a command, in a channel without a story."""
    return {
        "story.show": ("story show", {}),
        "story.export": ("story export", {}),
        "story.add": ("story add", {"text": "She ran."}),
        "story.continue": ("story continue", {}),
        "story.retry": ("story retry", {}),
        "story.undo": ("story undo", {}),
        "story.redo": ("story redo", {}),
        "story.stop": ("story stop", {}),
        "story.pick": ("story pick", {"try": 1}),
        "story.vote": ("story vote", {}),
        "story.edit": ("story edit", {}),
        "story.branch": ("story branch", {"turn": 1}),
        "story.finish": ("story finish", {}),
        "story.resume": ("story resume", {"story": NOBODY}),
        "story.list": ("story list", {}),
        "story.note": ("story note", {}),
        "story.tree": ("story tree", {}),
        "story.import": ("story import", {"file": Upload("empty.txt", b" ")}),
        "story.start": ("story start", {"title": "Fox"}),
    }


async def test_each_role_may_do_what_the_table_says(world: World) -> None:
    tried = cases()
    assert set(tried) == {action for action in ACTIONS if action.split(".")[0] == "story"}
    for role, member in world.people.items():
        channel = world.server.guild.add_channel(role.name.lower())
        for action, (path, options) in tried.items():
            answer = await member.command(path, channel=channel, options=options).answer()
            refusal = f"You need the role {ACTIONS[action].name.lower()} or a higher one to use {action}."
            assert (answer.content != refusal) == allowed(action, role), (role, action, answer.content)
            assert "went wrong" not in answer.content, (action, answer.content)
            assert answer.content.count(".") < 3, "a refusal is one sentence"
        assert len(channel.messages) == allowed("story.start", role), "what only the asker reads, but for the start"


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
    message.components = before[1]  # as if the old buttons had not gone
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


async def begun(member: Member, channel: Channel) -> Message:
    """The reply to the first turn of a new story."""
    world = member.server
    await member.command("story start", channel=channel, title="Fox", premise="A fox named Mira ran.").answer()
    message = channel.last_message
    await member.command("story add", channel=channel, text="She saw a key.").answer()
    reply = await world.wait_for(lambda: next((m for m in channel.messages if labels(m) == BUTTONS), None), None, "it")
    assert reply is not None
    assert reply is not message
    return reply


async def crowned(world: World, channel: Channel, after: Message | None) -> Message:
    """The next message with the story's buttons."""

    def look() -> Message | None:
        last = channel.last_message
        return last if last is not None and last is not after and labels(last)[:1] == ["Continue"] else None

    message = await world.server.wait_for(look, None, "a finished message")
    assert message is not None
    return message


async def asked(world: World, member: Member, channel: Channel, **options: Any) -> Message:
    """A new vote with its buttons."""
    before = channel.last_message
    member.command("story vote", channel=channel, options=options)

    def look() -> Message | None:
        last = channel.last_message
        return last if last is not None and last is not before and labels(last)[-1:] == ["Count now"] else None

    message = await world.server.wait_for(look, None, "a vote")
    assert message is not None
    return message


def choice_of(message: Message, choice: int) -> str:
    """The id of its button."""
    return str(message.buttons[choice - 1]["custom_id"])


def shown_votes(message: Message) -> list[int]:
    """What the buttons say."""
    return [int(label[3:-1] or 0) if "(" in label else 0 for label in labels(message)[:3]]


async def turned(world: World, member: Member, message: Message, label: str, shown: str) -> None:
    member.click(message, label)
    await world.server.wait_for(lambda: shown in labels(message), None, shown)


def labels(message: Message) -> list[str]:
    return [button["label"] for button in message.buttons]


def reply_of(message: Message) -> str:
    """What the model wrote, without the lines above it."""
    return "\n".join(line for line in message.content.split("\n") if not line.startswith(("> ", "-# ")))
