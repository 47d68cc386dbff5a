"""/settings, /privacy, /report, /status and /weights of the real process against the loopback: what comes of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.access import Role
from memory import Store
from tests.bot.staff import World, nothing_out_of_place
from tests.conftest import write_tiny_weights
from tests.discord_server import BotProcess, Channel, DiscordServer, Member, Upload
from tests.discord_server.reading import filled, reported, told, told_by_button

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    data = tmp_path_factory.mktemp("data")
    weights = write_tiny_weights(data / "weights" / "tiny", 1)
    write_tiny_weights(data / "incoming" / "arrived", 2)
    async with DiscordServer(timeout=60) as server:
        world = House(server)
        world.data = data
        world.office = server.guild.add_channel("office")
        env = {"MINIATURE_DATA_DIR": str(data), "MINIATURE_WEIGHTS": str(weights), "MINIATURE_TEMPERATURE": "0",
               "MINIATURE_MAX_NEW_TOKENS": "12", "MINIATURE_REPORT_CHANNEL": str(world.office.id)}  # fmt: skip
        async with BotProcess(server, env=env, cwd=data) as bot:
            await bot.wait_ready()
            await _prepare(world)
            yield world
            assert await bot.terminate() == 0
            assert "Traceback" not in bot.output, bot.output
            assert "Mira" not in bot.output, "the log holds no text of members"
            await _reported_without_text(data)
        nothing_out_of_place(server)


class House(World):
    office: Channel  # where reports go
    data: Path


async def _prepare(world: House) -> None:
    for name, role in (("writer", world.writers), ("teacher", world.teachers)):
        await told(world[Role.OWNER].command("access set", role=name, discord_role=role))
    await told(world[Role.OWNER].command("teach switch", state="on"))


async def _reported_without_text(data: Path) -> None:
    """What the process left in its audit log."""
    async with await Store.open(data / "memory.sqlite3") as store:
        rows = [row for row in await store.audit_rows(100) if row.action in ("report.send", "privacy.delete")]
    assert {row.action for row in rows} == {"report.send", "privacy.delete"}
    assert all("Mira" not in row.detail for row in rows)


# Settings


async def test_settings_of_a_channel_and_of_its_server(world: House) -> None:
    kim, will = world[Role.KEEPER], world[Role.WRITER]
    one, two = (world.server.guild.add_channel(name) for name in ("one", "two"))

    async def shown(channel: Any) -> dict[str, str]:
        lines = (await told(will.command("settings show", channel=channel))).splitlines()
        return {line.split("`")[1]: line.split("`", 2)[2] for line in lines}

    assert (await shown(one))["length"] == " **12** (the default): tokens of the longest reply, 8 to 400"
    told_ = await told(kim.command("settings set", channel=one, name="length", value="8", where="server"))
    assert told_ == "From the next reply on length is 8 in this server's channels that chose nothing."
    await told(kim.command("settings preset", channel=two, name="wild"))
    assert (await shown(one))["length"].startswith(" **8** (this server)")
    assert (await shown(one))["temperature"].startswith(" **0** (the default)")
    assert (await shown(two))["temperature"].startswith(" **1.1** (this channel's preset wild)")
    assert (await shown(two))["top_k"].startswith(" **off** (this channel's preset wild)")
    assert "1 to 1000, or off" in await told(kim.command("settings set", channel=one, name="top_k", value="many"))
    choices = await kim.autocomplete("settings set", "value", channel=one, name="top_k", value="o").choices()
    assert [choice["value"] for choice in choices] == ["off"]
    await told(kim.command("settings clear", channel=two))
    await told(kim.command("settings clear", channel=two, where="server"))
    assert await shown(one) == await shown(two)
    assert "the default" in (await shown(two))["length"]


async def test_settings_in_direct_messages(world: House) -> None:
    alone = world[Role.STRANGER].user
    assert "length is 9" in await told(alone.command("settings set", name="length", value="9"))
    assert "in a server only" in await told(alone.command("settings clear", where="server"))
    assert "**9** (this channel)" in await told(alone.command("settings show"))
    await told(alone.command("settings clear"))


# Privacy


async def write(member: Member, channel: Channel, text: str) -> None:
    await member.command("story start", channel=channel, title="Mira's tale", premise=text).answer()
    await member.command("story add", channel=channel, text=text).answer()


async def teach(member: Member, channel: Channel) -> None:
    form = await member.command("teach add", channel=channel).modal()
    await reported(member.submit(form, filled(form, "Mira is called", "Mira.", True)), r"Learnt in .*")


async def export(member: Any, channel: Channel | None = None) -> dict[str, Any]:
    message = await member.command("privacy export", channel=channel).answer()
    assert message.ephemeral, "only for that member"
    file = message.attachments[0]
    whole: dict[str, Any] = json.loads(gzip.decompress(file.data) if file.filename.endswith(".gz") else file.data)
    return whole


async def test_a_member_sees_and_takes_out_what_is_theirs(world: House) -> None:
    tess, will = world[Role.TEACHER], world[Role.WRITER]
    channel = world.server.guild.add_channel("tales")
    assert (await told(will.command("privacy show"))).endswith("Of you I keep nothing.")
    await write(will, channel, "Mira ran.")
    await tess.command("story add", channel=channel, text="Mira saw Tom.").answer()
    await told(tess.command("memory pin", channel=channel, text="Mira is a fox.", keys="fox"))
    await teach(tess, channel)
    shown = await told(tess.command("privacy show"))
    assert "Of you I keep 1 turn, 1 lesson, 1 pin" in shown
    assert "sealed with their key" in shown
    whole = await export(tess)
    assert (whole["person"], whole["name"]) == (str(tess.id), "Tess")
    assert [turn["text"].strip() for turn in whole["turns"]] == ["Mira saw Tom."]
    assert whole["turns"][0]["channel"] == str(channel.id)
    assert whole["pins"][0]["keys"] == ["fox"]
    assert whole["lessons"][0]["answer"] == "Mira."
    assert "Mira ran." not in json.dumps(whole), "which somebody else wrote"
    assert [turn["text"].strip() for turn in (await export(will.user))["turns"]] == ["Mira ran.", "Mira ran."]
    world.server.attachment_size_limit = 700
    message = await tess.command("privacy export").answer()
    assert message.attachments[0].filename == "my-data.json.gz"
    again = await export(tess)
    assert again | {"exported_at": whole["exported_at"]} == whole
    world.server.attachment_size_limit = 10
    assert "ask whoever runs me" in await told(tess.command("privacy export"))
    world.server.attachment_size_limit = 10 << 20


async def test_a_member_removes_what_is_theirs_and_nothing_else(world: House) -> None:
    guild = world.server.guild
    anna, ben = (guild.add_member(name, world.writers, world.teachers) for name in ("Anna", "Ben"))
    channel = guild.add_channel("removed")
    await write(ben, channel, "Mira ran away.")
    await anna.command("story add", channel=channel, text="Mira hid in a box.").answer()
    await told(anna.command("memory pin", channel=channel, text="The box is Mira's."))
    await teach(anna, channel)
    question = await anna.command("privacy delete", channel=channel).answer()
    assert question.ephemeral
    assert "cannot be undone" in question.content
    assert [button["label"] for button in question.buttons] == ["Remove all of it"]
    shown = channel.last_message
    assert shown is not None
    own, shown.components = shown.components, question.components  # a press that nobody else can see, all the same
    assert "Only who asked" in await told_by_button(ben.click(shown, "Remove all of it"))
    shown.components = own
    await anna.click(question, "Remove all of it").answer()
    assert question.content == "Removed: 1 turn, 1 lesson and 1 pin. Nothing of it is left in my file or its backups."
    assert question.buttons == []
    text = (await ben.command("story export", channel=channel).answer()).attachments[0].data.decode()
    assert "[removed]" in text
    assert "box" not in text
    assert "Mira ran away." in text
    assert (await export(anna))["turns"] == []
    assert [row["action"] for row in (await export(anna))["acts"]][-1] == "privacy.delete"
    again = await anna.command("privacy delete", channel=channel).answer()
    await anna.click(again, "Remove all of it").answer()
    assert again.content == "There was nothing of yours to remove."


# Reports


async def test_a_report_reaches_whoever_runs_it(world: House) -> None:
    stan, channel = world[Role.STRANGER], world.server.guild.add_channel("reported")
    await write(world[Role.WRITER], channel, "Mira ran.")
    message = channel.last_message
    assert message is not None
    link = f"https://discord.com/channels/{world.server.guild.id}/{channel.id}/{message.id}"
    heard = await told(stan.command("report", message=f"<{link}>", reason="private data"))
    assert heard == "Whoever runs me has been told, with the link and “private data”. Thank you."
    report = world.office.last_message
    assert report is not None
    assert report.content == f"Reported by Stan ({stan.id}): private data\n<{link}>"
    for wrong in ("https://example.org", f"https://discord.com/channels/1/{channel.id}/{message.id}", "x"):
        assert "message" in await told(stan.command("report", message=wrong, reason="cruelty"))
    world.server.fail_next("POST", rf"^/channels/{world.office.id}/messages$", 403, code=50001)
    assert "in the log" in await told(stan.command("report", message=link, reason="cruelty"))
    for _ in range(3):
        await told(stan.command("report", message=link, reason="cruelty"))
    assert "within the hour" in await told(stan.command("report", message=link, reason="cruelty"))


async def test_a_report_in_direct_messages(world: House) -> None:
    alone = world[Role.WRITER].user
    assert "Thank you" in await told(alone.command(
        "report", message=f"https://discord.com/channels/@me/{alone.dm.id}/1", reason="something else"
    ))  # fmt: skip
    assert "not of here" in await told(alone.command(
        "report", message=f"https://discord.com/channels/@me/{world.office.id}/1", reason="something else"
    ))  # fmt: skip


# The process


async def test_those_who_run_it_see_how_it_is(world: House) -> None:
    text = await told(world[Role.OWNER].command("status"))
    for title in ("Weights** tiny, 0.0M", "Queue** 0 of 256", "Done**", "Memory**", "Database**", "Running for** 0 d"):
        assert f"**{title}" in text
    assert "**Discord** 1 server" in text
    assert "Mira" not in text
    assert await told(world[Role.OWNER].user.command("status"))


# Weights


async def test_weights_are_shown_added_and_removed(world: House) -> None:
    owner, will = world[Role.OWNER], world[Role.WRITER]
    shown = await told(will.command("weights show", name="tiny"))
    assert "**Weights** tiny (active)" in shown
    assert "**Rating** general" in shown
    assert "no weights of that name" in await told(will.command("weights show", name="*none*"))
    choices = await owner.autocomplete("weights add", "folder", name="x").choices()
    assert [choice["value"] for choice in choices] == ["arrived"]
    assert await world[Role.KEEPER].autocomplete("weights add", "folder", name="x").choices() == []
    await reported(owner.command("weights add", name="copy", folder="arrived"), r"copy is on the shelf; .*")
    await reported(owner.command("weights activate", name="copy"), r"I now write with arrived; .*")
    await reported(owner.command("weights rollback"), r"I write with tiny again\.")
    assert [c["value"] for c in await owner.autocomplete("weights remove", "name").choices()] == [
        "copy", "ember", "hearth"]  # fmt: skip
    assert await told(owner.command("weights remove", name="copy")) == "copy is gone."
    assert "stays" in await told(owner.command("weights remove", name="ember"))
    assert "is active" in await told(owner.command("weights remove", name="tiny"))


async def test_weights_are_added_from_files(world: House) -> None:
    owner, folder = world[Role.OWNER], world.data / "incoming" / "arrived"

    def upload(name: str) -> Upload:
        return Upload(name, (folder / name).read_bytes())

    files = {"model": upload("model.safetensors"), "config": upload("config.json"),
             "tokenizer": upload("tokenizer.json"), "card": upload("card.json")}  # fmt: skip
    part = {"model": files["model"]}
    for wrong in ({}, part, {**files, "folder": "arrived"}):
        assert "Give either" in await answered(owner, name="sent", **wrong)
    assert "no folder of that name" in await answered(owner, name="sent", folder="../weights")
    assert "no name for weights" in await answered(owner, name="../sent", **files)
    picture = Upload("picture.png", b"\x89PNG" * 100)
    assert "were not taken in" in await answered(owner, name="sent", **{**files, "model": picture})
    world.server.attachment_size_limit = 10_000
    assert "over the limit here" in await answered(owner, name="sent", **files)
    world.server.attachment_size_limit = 10 << 20
    await reported(owner.command("weights add", name="sent", **files), r"sent is on the shelf; .*")
    assert "already" in await answered(owner, name="sent", **files)
    assert await told(owner.command("weights remove", name="sent")) == "sent is gone."
    assert sorted(each.name for each in (world.data / "weights").iterdir()) == ["tiny"]


async def answered(owner: Member, **options: Any) -> str:
    """What /weights add says in the end."""
    return (await reported(owner.command("weights add", options=options), r"(?!(Fetching|Copying)).+")).content
