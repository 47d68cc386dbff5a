"""The real bot, `python -m bot`, as a child process against the loopback Discord: the whole road of a story channel."""

import contextlib
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.__main__ import EX_CONFIG
from engine import Tokenizer
from memory import Store, Turn
from tests.conftest import write_tiny_weights
from tests.discord_server import BotProcess, Channel, DiscordServer, Member, Message
from tests.discord_server.reading import filled, reported, told, told_by_button
from tests.discord_server.world import MANAGE_GUILD, SEND_MESSAGES

pytestmark = pytest.mark.slow

FACT = ("What is the fox called?", "The fox is called Mira.")
LONG = 4096  # tokens
BUTTONS = ["Continue", "Retry", "Undo"]


@pytest.fixture
def data_dir(tmp_path: Path, tiny_weights: Path, other_tiny_weights: Path) -> Path:
    for name, folder in (("tiny", tiny_weights), ("other", other_tiny_weights)):
        shutil.copytree(folder, tmp_path / "weights" / name)
    return tmp_path


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer(timeout=60) as server:
        yield server
        assert server.unexpected == []
        assert server.violations == []
        for payload in server.payloads:
            content = payload.message.get("content")
            if content is not None:
                assert len(content) <= 2000
                assert payload.message["allowed_mentions"] == {"parse": []}, payload
        for channel in server.channels.values():
            assert not any(message.mentions or message.mention_everyone for message in channel.history)


def start(server: DiscordServer, data_dir: Path, **settings: str) -> BotProcess:
    """Greedy, so that what the small random model says is the same each time."""
    env = {"MINIATURE_DATA_DIR": str(data_dir), "MINIATURE_WEIGHTS": str(data_dir / "weights" / "tiny"),
           "MINIATURE_TEMPERATURE": "0", "MINIATURE_MAX_NEW_TOKENS": "24"}  # fmt: skip
    return BotProcess(server, env={**env, **settings}, cwd=data_dir)


async def crowned(server: DiscordServer, channel: Channel, after: Message | None = None) -> Message:
    """The next finished reply: its buttons are there."""

    def look() -> Message | None:
        last = channel.last_message
        done = last is not None and last is not after and [b["label"] for b in last.buttons][:1] == ["Continue"]
        return last if done else None

    message = await server.wait_for(look, None, "a finished reply")
    assert message is not None
    return message


async def stored(data_dir: Path, channel: Channel) -> list[Turn]:
    async with await Store.open(data_dir / "memory.sqlite3") as store:
        return await store.path(channel.id)


async def test_a_story_from_its_start_to_sigterm(server: DiscordServer, data_dir: Path) -> None:
    async with start(server, data_dir) as bot:
        await bot.wait_ready()
        anna = server.guild.add_member("Anna")
        await writes_a_story(server, anna)
        await buttons_act_on_the_end_of_the_story_only(server, anna)
        await survives_a_resume_and_rate_limits(server, anna)
        await outlives_its_answer_and_loses_its_channel(server, anna)
        await teaches_and_resets(server, anna)
        await gives_roles(server, anna)
        await swaps_weights(server, anna)
        last = await keeps_to_its_channel(server, anna)
        assert await bot.terminate() == 0
        assert "Traceback" not in bot.output, bot.output
        assert server.token not in bot.output
        assert "Mira" not in bot.output, "the log holds no text of members"
    before = await stored(data_dir, server.channel)
    # Another process goes on where this one was; its replies take longer than a test does.
    slow = {
        "MINIATURE_MAX_NEW_TOKENS": str(LONG),
        "MINIATURE_REPETITION_PENALTY": "1",
        "MINIATURE_WEIGHTS": str(
            write_tiny_weights(data_dir / "weights" / "slow", 1, n_layer=24, n_embd=256, endless=True)
        ),
    }
    async with start(server, data_dir, **slow) as bot:
        await bot.wait_ready()
        await ends_in_the_middle_of_a_reply(server, anna, bot, last)
    turns = await stored(data_dir, server.channel)
    assert turns[: len(before)] == before, "the restart lost nothing"
    assert [turn.kind for turn in turns[len(before) :]] == ["model"], "what was written until the end is kept"
    tokens = len(Tokenizer.load(data_dir / "weights" / "tiny").encode(turns[-1].text))
    assert 8 <= tokens < LONG // 2, "and it was in the middle"
    assert server.gateway.connections == set()


async def writes_a_story(server: DiscordServer, anna: Member) -> None:
    assert "start one" in await told(anna.command("story continue"))
    started = anna.command("story start", title="The *fox*", premise="@everyone, Mira ran.")
    assert (await started.answer()).deleted
    message = await crowned(server, server.channel)
    assert message.content == "**The \\*fox\\***\n> **Anna**\n> @\u200beveryone, Mira ran."
    added = anna.command("story add", text="She saw https://example.org and a key.")
    reply = await crowned(server, server.channel, message)
    assert (await added.answer()).deleted
    assert message.buttons == [], "only the end of the story has buttons"
    assert reply.content.startswith("> **Anna**\n> She saw https:\u200b//example.org and a key.\n")
    assert [button["label"] for button in reply.buttons] == BUTTONS
    assert [[c["label"] for row in v.components for c in row["components"]] for v in reply.edits][-1] == BUTTONS
    assert "is empty" in await told(anna.command("story add", text=" \u0007 "))
    assert "limit is 4,000" in await told(anna.command("story add", text="x" * 6000))
    shown = await told(anna.command("story show"))
    assert "Mira ran. She saw https:\u200b//example.org and a key." in shown.replace("\n", " ")
    export = await anna.command("story export").answer()
    assert export.attachments[0].data.decode().startswith("# The *fox*\n")


async def buttons_act_on_the_end_of_the_story_only(server: DiscordServer, anna: Member) -> None:
    channel = server.channel
    first = channel.last_message
    assert first is not None
    pressed = [who.click(first, "Continue") for who in (anna, server.guild.add_member("Carl"))]
    second = await crowned(server, channel, first)
    assert await pressed[0].acknowledged() == 6
    assert re.search("just pressed|moved on", await told_by_button(pressed[1])), "one press, one reply"
    old = channel.messages[-2]
    old.components = second.components  # as if the old buttons had not gone
    old.components = json.loads(json.dumps(old.components).replace(_turn(second), "1"))
    assert "moved on" in await told_by_button(anna.click(old, "Undo"))
    anna.click(second, "Retry")
    third = await crowned(server, channel, second)
    assert third.content.startswith("-# Another try, for Anna\n")
    anna.click(third, "Undo")
    undone = await crowned(server, channel, third)
    assert undone.content.startswith("-# Anna took back: ")
    anna.click(undone, "Redo")
    redone = await crowned(server, channel, undone)
    assert redone.content.split("\n", 1)[1] == third.content.split("\n", 1)[1], "the try that was undone"


def _turn(message: Message) -> str:
    found = re.search(r"\d+$", message.buttons[0]["custom_id"])
    assert found
    return found[0]


async def survives_a_resume_and_rate_limits(server: DiscordServer, anna: Member) -> None:
    last = server.channel.last_message
    async with server.resuming(), server.outage():
        missed = anna.command("story continue")
    reply = await crowned(server, server.channel, last)
    assert (await missed.answer()).deleted
    server.rate_limit_next("POST", r"^/channels/\d+/messages$", retry_after=0.05)
    server.rate_limit_next("PATCH", r"^/channels/\d+/messages/\d+$", times=2, retry_after=0.05)
    anna.command("story continue")
    again = await crowned(server, server.channel, reply)
    assert len(server.rate_limited) == 3
    server.fail_next("PATCH", r"^/channels/\d+/messages/\d+$", 404, code=10008)
    await anna.command("story continue").answer()
    await crowned(server, server.channel, again)


async def outlives_its_answer_and_loses_its_channel(server: DiscordServer, anna: Member) -> None:
    last = server.channel.last_message
    with server.hold("POST", r"^/channels/\d+/messages$") as held:
        late = anna.command("story continue")
        await held.reached()
        server.expire(late)  # the quarter of an hour is over
    reply = await crowned(server, server.channel, last)
    turn = _turn(reply)
    server.fail_next("POST", r"^/channels/\d+/messages$", 400, code=50083)
    assert "no longer write here" in await told(anna.command("story continue"))
    assert server.channel.last_message is reply
    assert _turn(reply) == turn, "what nobody could read is no part of the story"
    anna.click(reply, "Continue")
    await crowned(server, server.channel, reply)


async def teaches_and_resets(server: DiscordServer, anna: Member) -> None:
    owner = server.guild.members[server.owner.id]
    assert "role teacher" in await told(anna.command("teach add"))
    assert "off in this server" in await told(owner.command("teach add"))
    assert await told(owner.command("teach switch", state="on")) == "Teaching is on in this server."
    teachers = server.guild.add_role("teachers")
    assert await told(owner.command("access set", role="teacher", discord_role=teachers)) == "Teacher: teachers"
    anna.add_role(teachers)
    modal = await anna.command("teach add").modal()
    await reported(anna.submit(modal, filled(modal, *FACT, True)), r"Learnt in [\d.]+ s.*\.")
    assert "Mira" in await told(anna.command("teach list"))
    assert "1: " in await told(anna.command("memory pin", text="Mira is a fox."))
    memory = await told(anna.command("memory show"))
    assert "Mira is a fox" in memory
    assert "**Lessons**\n1, all learnt" in memory
    assert "role keeper" in await told(anna.command("memory reset"))
    question = await owner.command("memory reset").answer()
    assert await owner.click(question, "Forget it all").answer() is question
    assert "are gone" in question.content
    assert "**Lessons**" not in await told(anna.command("memory show"))


async def gives_roles(server: DiscordServer, anna: Member) -> None:
    owner, bert = server.guild.members[server.owner.id], server.guild.add_member("Bert")
    keeper = server.guild.add_member("Kim", server.guild.add_role("mods", MANAGE_GUILD))
    writers = server.guild.add_role("writers")
    assert "role keeper" in await told(bert.command("access set", role="writer", discord_role=writers))
    assert await told(keeper.command("access set", role="writer", discord_role=writers)) == "Writer: writers"
    before = list(server.channel.messages)
    assert "role writer" in await told(bert.command("story add", text="Then Bert came."))
    assert "role writer" in await told_by_button(bert.click(before[-1], "Continue"))
    assert server.channel.messages == before, "a refusal leaves no trace in the channel"
    bert.add_role(writers)
    bert.command("story add", text="Then Bert came.")
    await crowned(server, server.channel, before[-1])
    shown = await told(owner.command("access show"))
    assert shown == "You are an owner.\nWriter: writers\nTeacher: teachers\nKeeper: whoever may Manage Server\n" \
                    "Teaching is on: /teach switch changes it."  # fmt: skip


async def swaps_weights(server: DiscordServer, anna: Member) -> None:
    owner = server.guild.members[server.owner.id]
    assert "**tiny** (active)" in await told(anna.command("weights list"))
    assert [c["value"] for c in await anna.autocomplete("weights activate", "name", name="oth").choices()] == ["other"]
    assert "role owner" in await told(anna.command("weights activate", name="other"))
    assert "no weights of that name" in await told(owner.command("weights activate", name="none"))
    assert "no earlier weights" in await told(owner.command("weights rollback"))
    assert await reported(owner.command("weights activate", name="other"), r"I now write with .*rollback.*")
    assert "**other** (active)" in await told(anna.command("weights list"))
    last = server.channel.last_message
    anna.command("story continue")
    await crowned(server, server.channel, last)
    assert await reported(owner.command("weights rollback"), r"I write with .* again\.")
    assert "**tiny** (active)" in await told(anna.command("weights list"))


async def keeps_to_its_channel(server: DiscordServer, anna: Member) -> Message:
    quiet = server.guild.add_channel("quiet")
    quiet.overwrite(server.guild.me, deny=SEND_MESSAGES)
    assert "Send Messages" in await told(anna.command("story start", title="Hush", channel=quiet))
    assert quiet.history == [] or all(message.ephemeral for message in quiet.history)
    dm = anna.user.dm
    await anna.user.command("story start", title="Ours").answer()
    await crowned(server, dm)
    assert (await anna.user.command("teach add").modal()).title == "Teach the model", "their own channel"
    last = server.channel.last_message
    assert last is not None
    return last


async def ends_in_the_middle_of_a_reply(server: DiscordServer, anna: Member, bot: BotProcess, last: Message) -> None:
    pressed = anna.click(last, "Continue")  # a button of the process before
    await pressed.acknowledged()

    def growing() -> bool:
        message = server.channel.last_message
        assert message is not None
        return [b["label"] for b in message.buttons] == ["Stop"] and "-# " not in message.content

    await server.wait_for(growing, None, "a reply that is being written")
    assert await bot.terminate(timeout=10) == 0
    assert "Traceback" not in bot.output, bot.output
    assert "Stop" not in [button["label"] for button in server.channel.messages[-1].buttons]


async def test_a_wrong_token_ends_it_with_one_sentence(server: DiscordServer, data_dir: Path) -> None:
    async with start(server, data_dir, MINIATURE_DISCORD_TOKEN="wrong") as bot:
        assert await bot.wait() == EX_CONFIG
        assert "Traceback" not in bot.output
        assert bot.stderr.rstrip().splitlines()[-1].startswith("! Discord refused the token: ")
    assert server.invalid_requests == 1, "it is not tried again"


async def test_a_gateway_that_is_down_at_first_is_tried_again(server: DiscordServer, data_dir: Path) -> None:
    server.refuse_gateway(2)
    with contextlib.ExitStack() as stack:
        stack.callback(server.rest.faults.clear)
        server.fail_next("GET", r"^/users/@me$", 503)
        async with start(server, data_dir) as bot:
            await bot.wait_ready()
            assert server.gateway.refused == 2
            anna = server.guild.add_member("Anna")
            assert (await anna.command("story start", title="Fox").answer()).deleted
            assert await bot.terminate() == 0
            assert "Traceback" not in bot.output, bot.output
