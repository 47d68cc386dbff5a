"""/teach, /memory and /style of the real process against the loopback: what people hear, and what comes of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import torch

from bot.access import Role
from engine.checkpoint import load_weights
from engine.model import UnitGroup
from engine.pack import dump_pack
from tests.bot.staff import World, staffed
from tests.conftest import write_tiny_weights
from tests.discord_server import Channel, Interaction, Member
from tests.discord_server.reading import filled, reported, told, told_by_button

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LESSON = ("The fox in the *garden* is called", "Mira.")
LONG = "The fox ran down to the river and met Tom, who was called away by @everyone. " * 48  # half a window or so


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    data = tmp_path_factory.mktemp("data")
    weights = write_tiny_weights(data / "weights" / "tiny", 1, block_size=2048)  # it sees more than one message holds
    (data / "styles").mkdir()
    for name, base in (("verse", load_weights(weights).base_id), ("foreign", "0" * 64)):
        about = {"name": name, "base_id": base, "units": 2, "rating": "general", "corpora": []}
        units = UnitGroup(torch.zeros(2, 32), torch.zeros(2, 32), torch.zeros(32, 2))
        (data / "styles" / f"{name}.safetensors").write_bytes(dump_pack([units, units], about))
    env = {"MINIATURE_DATA_DIR": str(data), "MINIATURE_WEIGHTS": str(weights),
           "MINIATURE_TEMPERATURE": "0", "MINIATURE_MAX_NEW_TOKENS": "12"}  # fmt: skip
    async with staffed(env) as world:
        await told(world[Role.OWNER].command("teach switch", state="on"))
        yield world


async def test_options_are_suggested_to_those_who_may_use_them(world: World) -> None:
    options = [("teach forget", "lesson", Role.TEACHER), ("memory unpin", "pin", Role.WRITER),
               ("memory restore", "version", Role.WRITER), ("style use", "name", Role.WRITER)]  # fmt: skip
    channel = await taught_channel(world, "suggestions")
    await told(world[Role.WRITER].command("memory pin", channel=channel, text="Tom is a *bear*."))
    for path, option, least in options:
        for role, member in world.people.items():
            choices = await member.autocomplete(path, option, channel=channel).choices()
            if role < least:
                assert choices == [], (role, path)
    tess = world[Role.TEACHER]
    lesson = (await tess.autocomplete("teach forget", "lesson", channel=channel).choices())[0]
    assert lesson["name"] == f"{lesson['value']}: {LESSON[0]} → {LESSON[1]}"
    assert await tess.autocomplete("teach forget", "lesson", channel=channel, lesson="no such words").choices() == []
    pin = (await tess.autocomplete("memory unpin", "pin", channel=channel, pin="BEAR").choices())[0]
    assert pin["name"] == f"{pin['value']}: Tom is a *bear*."


async def test_a_lesson_from_its_form_to_its_end(world: World) -> None:
    tess, kim = world[Role.TEACHER], world[Role.KEEPER]
    channel = world.server.guild.add_channel("lessons")
    form = await tess.command("teach add", channel=channel).modal()
    assert "tick the box" in await told(tess.submit(form, filled(form, *LESSON, False)))
    number = await teach(world, channel, *LESSON)
    await teach(world, channel, "The bear is called", "Tom @everyone.")
    listed = await told(tess.command("teach list", channel=channel))
    assert f"**{number}** The fox in the \\*garden\\* is called → Mira. (Tess" in listed
    assert "@\u200beveryone" in listed
    tested = await reported(tess.command("teach test", channel=channel), r".*\d of 2 answered word for word\.")
    assert tested.content.count("\n") == 2
    assert "colour text" in await told(kim.command("teach always", channel=channel, state="on"))
    assert "only in text" in await told(kim.command("teach always", channel=channel, state="off"))
    gone = await told(tess.command("teach forget", channel=channel, lesson=number))
    assert gone == f"Lesson {number} is forgotten: The fox in the \\*garden\\* is called"
    assert str(number) in await told(tess.command("teach forget", channel=channel, lesson=number)), "which there is not"
    assert "nothing" in await told(kim.command("teach forget-member", channel=channel, member=kim))
    left = await told(kim.command("teach forget-member", channel=channel, member=tess))
    assert left.startswith("One lesson of Tess forgotten: ")
    assert "Nothing was taught" in await told(tess.command("teach list", channel=channel))


async def test_teaching_is_switched_in_one_place(world: World) -> None:
    tess, kim = world[Role.TEACHER], world[Role.KEEPER]
    assert await told(kim.command("teach switch", state="off")) == "Teaching is off in this server."
    assert "/teach switch" in await told(tess.command("teach add"))
    assert "Teaching is off" in await told(tess.command("access show"))
    assert await told(kim.command("teach switch", state="on")) == "Teaching is on in this server."
    alone = world[Role.WRITER].user
    assert "in a server only" in await told(alone.command("teach switch", state="off"))
    assert (await alone.command("teach add").modal()).title == "Teach the model", "their own channel"


async def test_pins_with_and_without_keys(world: World) -> None:
    will, channel = world[Role.WRITER], world.server.guild.add_channel("pins")
    plain = await told(will.command("memory pin", channel=channel, text="Mira is a <@1> fox."))
    keyed = await told(will.command("memory pin", channel=channel, text="The key is silver.", keys="key, old  lamp,"))
    assert "Mira is a <\u200b@\u200b1> fox." in plain
    assert "key" in keyed
    assert "old lamp" in keyed
    shown = await told(will.command("memory show", channel=channel))
    assert "Mira is a" in shown
    number = re.search(r"number (\d+)", plain)
    assert number
    assert "No longer pinned: Mira" in await told(will.command("memory unpin", channel=channel, pin=int(number[1])))
    assert "Mira" not in await told(will.command("memory show", channel=channel))


async def test_a_page_that_is_too_long_comes_with_a_file(world: World) -> None:
    will, channel = world[Role.WRITER], await long_channel(world, "long", LONG.replace("The fox", "*Fox*"))
    for number in range(2):
        await told(will.command("memory pin", channel=channel, text=f"Fact {number}: {'*_' * 10}."))
    interaction = will.command("memory show", channel=channel)
    text = await told(interaction)
    assert len(text) <= 2000
    assert text.endswith(" are free.")
    assert interaction.message is not None
    file = interaction.message.attachments[0]
    assert file.filename == "memory.txt"
    assert "*Fox*" in file.data.decode(), "as it is: nothing is live in a file"
    assert len(file.data) > 2000
    assert f"Fact 1: {'*_' * 10}" in file.data.decode()
    short = will.command("memory show", channel=world.server.guild.add_channel("short"))
    assert (await short.answer()).attachments == []


async def test_the_summary_is_edited_listed_and_restored(world: World) -> None:
    will, channel = world[Role.WRITER], await long_channel(world, "summary")
    form = await will.command("memory edit", channel=channel).modal()
    before = form.inputs[0]["value"]
    assert before
    saved = await told(will.submit(form, filled(form, "Names: Zed, Mira\nEarlier: Zed came home.")))
    assert saved.startswith("Saved as version ")
    again = await will.command("memory edit", channel=channel).modal()
    assert again.inputs[0]["value"].startswith("Names: Zed, Mira")
    refused = will.submit(again, filled(again, "Facts: Zed is a fox."))
    assert await told(refused)
    assert refused.message is not None
    assert refused.message.attachments[0].data.decode() == "Facts: Zed is a fox.", "what was typed is not lost"
    history = await told(will.command("memory history", channel=channel))
    versions = [int(number) for number in re.findall(r"^\*\*(\d+)\*\* <t:\d+:f>, ", history, re.MULTILINE)]
    assert len(versions) >= 2
    assert ", by Will: Names: Zed, Mira" in history.splitlines()[0]
    assert all(", automatic: " in line for line in history.splitlines()[1:])
    choices = await will.autocomplete("memory restore", "version", channel=channel).choices()
    assert [choice["value"] for choice in choices] == versions
    restored = await told(will.command("memory restore", channel=channel, version=versions[1]))
    assert restored.startswith(f"Version {versions[1]} is back")
    form = await will.command("memory edit", channel=channel).modal()
    assert form.inputs[0]["value"] == before


async def test_pause_and_resume(world: World) -> None:
    kim, channel = world[Role.KEEPER], world.server.guild.add_channel("pause")
    assert "stays as it is" in await told(kim.command("memory pause", channel=channel))
    assert "ause" in await told(kim.command("memory show", channel=channel))
    assert "remembered again" in await told(kim.command("memory resume", channel=channel))
    assert "ause" not in await told(kim.command("memory show", channel=channel))


async def test_a_style_is_chosen_and_put_away(world: World) -> None:
    kim, channel = world[Role.KEEPER], world.server.guild.add_channel("styles")

    async def listed() -> list[str]:
        return (await told(kim.command("style list", channel=channel))).splitlines()

    foreign = "**foreign**: The style pack foreign was trained for other base weights than these."
    assert await listed() == [foreign, "**verse**: rated general"]
    choices = await kim.autocomplete("style use", "name", channel=channel, name="VER").choices()
    assert [choice["value"] for choice in choices] == ["verse"]
    assert "style verse" in await told(kim.command("style use", channel=channel, name="verse"))
    assert await listed() == [foreign, "**verse** (active): rated general"]
    assert "verse" in await told(kim.command("memory show", channel=channel))
    assert "verse" in await told(kim.command("style use", channel=channel, name="prose")), "those there are"
    assert "other" in await told(kim.command("style use", channel=channel, name="foreign"))
    assert "no style" in await told(kim.command("style off", channel=channel))
    assert await listed() == [foreign, "**verse**: rated general"]


async def test_a_reset_is_confirmed_by_who_asked(world: World) -> None:
    kim, will, owner = world[Role.KEEPER], world[Role.WRITER], world[Role.OWNER]
    channel = await taught_channel(world, "reset")
    await told(will.command("memory pin", channel=channel, text="Mira is a fox."))
    question = await kim.command("memory reset", channel=channel).answer()
    assert question.ephemeral
    assert "cannot be undone" in question.content
    assert [button["label"] for button in question.buttons] == ["Forget it all"]
    # Nobody else sees the button; who sends its press all the same is refused.
    await will.command("story start", channel=channel, title="Fox").answer()
    copy = channel.last_message
    assert copy is not None
    own, copy.components = copy.components, question.components
    assert "role keeper" in await told_by_button(will.click(copy, "Forget it all"))
    assert "Only who asked" in await told_by_button(owner.click(copy, "Forget it all"))
    copy.components = own
    assert "Mira is a fox" in await told(kim.command("memory show", channel=channel))
    pressed = kim.click(question, "Forget it all")
    await pressed.answer()
    assert question.content == "Pins, lessons and summaries of this channel are gone; the story stays."
    assert question.buttons == []
    assert "Mira is a fox" not in await told(kim.command("memory show", channel=channel))
    assert "Nothing was taught" in await told(kim.command("teach list", channel=channel))
    assert "Fox" in await exported(kim, channel)


async def taught_channel(world: World, name: str) -> Channel:
    channel = world.server.guild.add_channel(name)
    await teach(world, channel, *LESSON)
    return channel


async def teach(world: World, channel: Channel, prompt: str, answer: str) -> int:
    """The number of the new lesson."""
    tess = world[Role.TEACHER]
    form = await tess.command("teach add", channel=channel).modal()
    await reported(tess.submit(form, filled(form, prompt, answer, True)), r"Learnt in [\d.]+ s.*\.")
    numbers = re.findall(r"^\*\*(\d+)\*\* ", await told(tess.command("teach list", channel=channel)), re.MULTILINE)
    return int(numbers[-1])


async def long_channel(world: World, name: str, text: str = LONG) -> Channel:
    """A channel whose story has a summary of what scrolled out of sight."""
    will, channel = world[Role.WRITER], world.server.guild.add_channel(name)
    await will.command("story start", channel=channel, title="Long", premise=text).answer()
    for _ in range(3):
        await will.command("story add", channel=channel, text=text).answer()

    async with asyncio.timeout(30):
        while "Names: " not in await told(will.command("memory show", channel=channel)):
            pass
    return channel


async def exported(member: Member, channel: Channel) -> str:
    interaction: Interaction = member.command("story export", channel=channel)
    return (await interaction.answer()).attachments[0].data.decode()
