"""The loopback Discord itself, with a small discord.py bot as the child process."""

import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.discord_server import BotProcess, DiscordServer, NotOffered, Upload
from tests.discord_server.payloads import Check, check_commands, check_message, check_modal
from tests.discord_server.world import SEND_MESSAGES

SAMPLE = Path(__file__).parent / "discord_server" / "sample_bot.py"


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server
        assert server.unexpected == []


@pytest.fixture
async def bot(server: DiscordServer) -> AsyncIterator[BotProcess]:
    async with BotProcess(server, [SAMPLE]) as bot:
        await bot.wait_ready()
        yield bot
        assert "Traceback" not in bot.output, bot.output


async def test_command_deferred_and_edited(server: DiscordServer, bot: BotProcess) -> None:
    anna = server.guild.add_member("Anna")
    interaction = anna.command("story start", title="Fox", pages=3)
    message = await interaction.answer()
    assert (interaction.response_type, message.content, message.ephemeral) == (5, "Fox, 3", False)
    assert server.channel.last_message is message
    assert [version.content for version in message.edits] == ["Fox, 3"]
    assert [b["label"] for b in message.buttons] == ["More", "Ask"]
    assert [p.path for p in server.payloads if p.method == "PATCH"][-1].endswith("/messages/@original")
    assert server.violations == []
    await bot.wait_output("ready")


async def test_the_tree_decides_what_can_be_asked(server: DiscordServer, bot: BotProcess) -> None:
    anna = server.guild.add_member("Anna")
    cases: list[tuple[str, dict[str, object], str]] = [
        ("story begin", {}, "no subcommand"), ("tale", {}, "no command"), ("story", {}, "needs a subcommand"),
        ("story start", {}, "requires"), ("story start", {"title": "x", "colour": 1}, "no option"),
        ("story start", {"title": "x", "pages": 10}, "max_value"), ("story start", {"title": 5}, "cannot hold"),
    ]  # fmt: skip
    for path, options, text in cases:
        with pytest.raises(AssertionError, match=text):
            anna.command(path, options=options)
    server.commands[0]["contexts"] = [0]
    with pytest.raises(NotOffered):
        anna.user.command("story start", title="x")
    assert anna.offered("story start")
    assert not anna.user.offered("story start")
    server.commands[0]["default_member_permissions"] = "32"
    assert not anna.offered("story start")
    assert server.guild.members[server.owner.id].offered("story start")


async def test_buttons_and_modal(server: DiscordServer, bot: BotProcess) -> None:
    anna, bert = server.guild.add_member("Anna"), server.guild.add_member("Bert")
    message = await anna.command("story start", title="Fox").answer()
    assert await bert.click(message, "More").answer() is message
    assert message.content == "Fox, 1 and more"
    modal = await anna.click(message, "sample:ask").modal()
    assert modal.title == "Teach"
    with pytest.raises(AssertionError, match="101 characters"):
        anna.submit(modal, {"Prompt": "x" * 101, "Answer": "y", "Consent": "yes"})
    with pytest.raises(AssertionError, match="only who got the modal"):
        bert.submit(modal, {"Prompt": "x"})
    taught = anna.submit(modal, {"Prompt": "Who?", "Answer": "Mira.\nThe fox.", "Consent": "I agree"})
    reply = await taught.answer()
    assert reply.content == "Who? => Mira.\nThe fox. (yes)"
    assert reply.ephemeral
    assert server.channel.messages == [message]
    with pytest.raises(AssertionError, match="no component"):
        anna.click(message, "Undo")


async def test_roles_and_autocomplete(server: DiscordServer, bot: BotProcess) -> None:
    keeper = server.guild.add_role("keeper")
    anna = server.guild.add_member("Anna")
    assert (await anna.command("story keep").answer()).content == "refused"
    anna.add_role(keeper)
    kept = anna.command("story keep")
    assert (await kept.answer()).content == "kept"
    assert kept.ephemeral
    choices = await anna.autocomplete("story pick", "name", name="f").choices()
    assert [choice["value"] for choice in choices] == ["fox", "frog"]


async def test_channel_messages_threads_and_files(server: DiscordServer, bot: BotProcess) -> None:
    anna, other = server.guild.add_member("Anna"), server.guild.add_channel("other")
    text = f"{anna.mention} @everyone"
    written = await anna.command("story write", text=text, options={"channel": other}).answer()
    assert written.deleted
    message = other.messages[0]
    assert (message.content, message.mentions, message.mention_everyone) == (text + "!", [anna.user], True)
    sent = next(p for p in server.payloads if p.path == f"/channels/{other.id}/messages")
    assert sent.message["allowed_mentions"] == {"parse": []}
    mention = (await anna.command("story thread", name="Side").answer()).content
    thread = server.channels[int(re.sub(r"\D", "", mention))]
    assert (thread.parent, thread.name, thread.messages[0].content) == (server.channel, "Side", "Here")
    assert (await anna.command("story start", title="Deep", channel=thread).answer()).channel is thread
    echo = await anna.command("story echo", file=Upload("a.txt", b"abc")).answer()
    async with aiohttp.ClientSession() as session, session.get(echo.attachments[0].url) as response:
        assert await response.read() == b"cba"


async def test_content_is_shown_only_where_the_platform_shows_it(server: DiscordServer, bot: BotProcess) -> None:
    anna = server.guild.add_member("Anna")

    async def heard(number: int) -> str:
        await server.wait_for(lambda: len([p for p in server.payloads if "heard" in str(p.json)]) >= number)
        return str([p for p in server.payloads if "heard" in str(p.json)][number - 1].json["content"])

    anna.say(server.channel, "secret")
    assert await heard(1) == "heard ''"
    anna.say(server.channel, f"{server.bot_user.mention} hello")
    assert "hello" in await heard(2)
    story = await anna.command("story start", title="Fox").answer()
    anna.say(server.channel, "more", reply_to=story)
    assert await heard(3) == "heard 'more'"
    anna.user.say(anna.user.dm, "private")
    assert await heard(4) == "heard 'private'"
    assert (await anna.user.command("story start", title="DM").answer()).channel is anna.user.dm


async def test_rate_limits_and_faults_are_recovered(server: DiscordServer, bot: BotProcess) -> None:
    anna = server.guild.add_member("Anna")
    fault = server.rate_limit_next("PATCH", r"/messages/@original$", times=2, retry_after=0.05)
    assert (await anna.command("story start", title="Fox").answer()).content == "Fox, 1"
    assert (fault.hits, len(server.rate_limited)) == (2, 2)
    server.rate_limit_next("POST", r"^/channels/\d+/messages$", retry_after=0.05)
    server.channel_limit = (1, 0.1)
    for _ in range(3):
        await anna.command("story write", text="Hare").answer()
    assert [m.content for m in server.channel.messages[1:]] == ["Hare!"] * 3
    with server.hold("POST", r"/callback$") as held:
        interaction = anna.command("story start", title="Slow")
        await held.reached()
        assert interaction.response_type is None
    assert (await interaction.answer()).content == "Slow, 1"


async def test_resume_replays_what_was_missed(server: DiscordServer, bot: BotProcess) -> None:
    anna = server.guild.add_member("Anna")
    async with server.resuming(), server.outage():
        missed = anna.command("story start", title="Missed")
    assert (await missed.answer()).content == "Missed, 1"
    async with server.resuming():
        await server.drop()
    await server.reconnect()
    assert (await anna.command("story start", title="Again").answer()).content == "Again, 1"
    assert (server.gateway.identified, server.gateway.resumed) == (1, 3)


async def test_invalid_session_identifies_anew(server: DiscordServer, bot: BotProcess) -> None:
    anna = server.guild.add_member("Anna")
    await server.invalidate_session()
    assert server.gateway.identified == 2
    assert (await anna.command("story start", title="New").answer()).content == "New, 1"


async def test_expired_tokens_old_messages_and_lost_permissions(server: DiscordServer, bot: BotProcess) -> None:
    anna = server.guild.add_member("Anna")
    interaction = anna.command("story start", title="Fox")
    message = await interaction.answer()
    server.expire(interaction)
    message.backdate(3601)
    server.channel.overwrite(server.guild.me, deny=SEND_MESSAGES)
    headers = {"Authorization": f"Bot {server.token}"}
    base = server.base_url + "/api/v10"
    channel, hook = f"/channels/{server.channel.id}/messages", f"/webhooks/{server.application_id}/{interaction.token}"
    cases = [
        ("POST", hook, {"content": "late"}, 401, 50027),
        ("POST", f"/interactions/{interaction.id}/{interaction.token}/callback", {"type": 4}, 404, 10062),
        ("PATCH", f"{channel}/{message.id}", {"content": "x"}, 400, 30046),
        ("POST", channel, {"content": "x"}, 403, 50013),
        ("PATCH", f"{channel}/1", {"content": "x"}, 404, 10008),
        ("GET", "/channels/1", None, 404, 10003),
    ]
    async with aiohttp.ClientSession(headers=headers) as session:
        for method, path, data, status, code in cases:
            async with session.request(method, base + path, json=data) as response:
                assert (response.status, (await response.json())["code"]) == (status, code)
                assert response.headers["Content-Type"] == "application/json"
        async with session.get(base + "/nowhere") as response:
            assert response.status == 404
        async with session.get(base + "/users/@me", headers={"Authorization": "Bot no"}) as response:
            assert response.status == 401
    assert server.unexpected == ["GET /nowhere"]
    server.unexpected.clear()


async def test_oversized_payloads_are_refused_and_recorded(server: DiscordServer, bot: BotProcess) -> None:
    anna = server.guild.add_member("Anna")
    assert (await anna.command("story wrong").answer()).content == "400 50035"
    assert len(server.violations) == 1
    assert "0 to 2000" in server.violations[0]


async def test_sigterm(server: DiscordServer, bot: BotProcess) -> None:
    assert await bot.terminate() == 0
    assert server.gateway.connections == set()


async def test_wrong_token_ends_the_bot(server: DiscordServer) -> None:
    async with BotProcess(server, [SAMPLE], env={"MINIATURE_DISCORD_TOKEN": "wrong"}) as bot:
        assert await bot.wait() == 3
        assert "Improper token" in bot.stderr
    assert server.invalid_requests == 1


async def test_an_unexpected_end_fails_the_wait_at_once(server: DiscordServer) -> None:
    async with BotProcess(server, ["-c", "raise SystemExit('no such thing')"]) as bot:
        with pytest.raises(AssertionError, match="no such thing"):
            await bot.wait_ready()


async def test_a_gateway_that_is_down_is_tried_again(server: DiscordServer, bot: BotProcess) -> None:
    anna = server.guild.add_member("Anna")
    async with server.resuming():
        server.refuse_gateway(1)
        await server.drop()
        await server.wait_for(lambda: server.gateway.refused == 1)
        missed = anna.command("story start", title="Fox")
    assert (await missed.answer()).content == "Fox, 1"
    assert "Attempting a reconnect" in bot.output
    bot.stderr = bot.stderr.replace("Traceback", "traceback")  # discord.py logs the refusal with one


async def test_several_shards(server: DiscordServer) -> None:
    server.recommended_shards = 2
    async with BotProcess(server, [SAMPLE], env={"SAMPLE_SHARDED": "1"}) as bot:
        await bot.wait_ready(shards=2)
        assert sorted(s.shard for s in server.gateway.sessions.values()) == [(0, 2), (1, 2)]
        anna = server.guild.add_member("Anna")
        assert (await anna.command("story start", title="Fox").answer()).content == "Fox, 1"
        assert (await anna.user.command("story start", title="Hare").answer()).content == "Hare, 1"


async def test_a_child_imports_discord_only_when_it_wants_to(server: DiscordServer) -> None:
    script = "import sys; before = 'discord' in sys.modules; import discord.http as h; print(before, h.Route.BASE)"
    async with BotProcess(server, ["-W", "ignore", "-c", script]) as bot:
        assert await bot.wait() == 0
        assert bot.stdout == f"False {server.base_url}/api/v10\n"
        assert sys.modules["tests.discord_server"]


def test_limits_of_payloads() -> None:
    def errors(inspect: object, *args: object) -> int:
        check = Check()
        inspect(check, *args)  # type: ignore[operator]
        return len(check.errors)

    button = {"type": 2, "style": 1, "label": "A", "custom_id": "a"}
    row = {"type": 1, "components": [button]}
    assert errors(check_message, {"content": "x", "components": [row]}) == 0
    assert errors(check_message, {"content": "x", "components": [row, row]}) == 1  # custom_id twice
    assert errors(check_message, {"content": "x", "components": [row | {"components": [button | {"label": ""}]}]}) == 1
    assert errors(check_message, {"content": ""}) == 1
    assert errors(check_message, {"embeds": [{"description": "x" * 4000}, {"description": "x" * 2001}]}) == 1
    field = {"type": 4, "style": 1, "custom_id": "t", "label": "Text", "max_length": 4000}
    modal = {"title": "T", "custom_id": "m", "components": [{"type": 1, "components": [field]}]}
    assert errors(check_modal, modal) == 0
    assert errors(check_modal, modal | {"title": "T" * 46, "components": []}) == 2
    command = {"name": "story", "description": "Stories", "options": []}
    assert errors(check_commands, [command]) == 0
    assert errors(check_commands, [command, command]) == 1
    assert errors(check_commands, [command | {"name": "Story"}]) == 1
    assert errors(check_commands, [command | {"description": ""}]) == 1
    options = [command | {"name": f"o{i}", "type": 3} for i in range(26)]
    assert errors(check_commands, [command | {"options": options}]) == 1
