"""What a channel, its server and the operator have chosen for replies, and what of it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dials import Dials
from bot.errors import InputError
from bot.services import Services
from config.settings import Settings, load_settings
from engine.sampling import SamplingParams
from tests.bot.conftest import ANN, Paper

HERE, GUILD = 5, 7
CHANNEL, SERVER = f"channel:{HERE}", f"guild:{GUILD}"


def sources(dials: Dials) -> dict[str, tuple[object, str]]:
    held = [one for one in dials.held(HERE, GUILD) if one.dial.name in dials.dials]
    return {one.dial.name: (one.value, one.source) for one in held}


async def test_the_nearest_choice_holds(services: Services) -> None:
    dials = services.dials
    before = dials.sampling(HERE, GUILD)
    assert {source for _, source in sources(dials).values()} == {"the default"}
    await dials.set(SERVER, "temperature", "1,2", ANN)
    await dials.preset(SERVER, "steady", ANN)  # gives way to nothing that was set before it
    await dials.set(SERVER, "top_k", "off", ANN)
    await dials.set(CHANNEL, "length", "12", ANN)
    assert sources(dials) == {
        "temperature": (0.6, "this server's preset steady"),
        "top_p": (0.85, "this server's preset steady"),
        "top_k": (None, "this server"),
        "repetition_penalty": (1.15, "this server's preset steady"),
        "length": (12, "this channel"),
    }
    sampling = dials.sampling(HERE, GUILD)
    assert (sampling.temperature, sampling.top_k, sampling.max_new_tokens) == (0.6, None, 12)
    assert dials.sampling(HERE, None) == dials.sampling(HERE, GUILD + 1) != sampling, "another server's"
    await dials.preset(CHANNEL, "default", ANN)
    assert sources(dials)["temperature"] == (before.temperature, "this channel's preset default")
    assert sources(dials)["length"] == (12, "this channel")
    for place in (CHANNEL, SERVER):
        await dials.clear(place, ANN)
    assert dials.sampling(HERE, GUILD) == before
    kept = [row for row in await services.store.audit_rows(9) if row.action.startswith("settings.")]
    assert [(row.channel, row.detail) for row in kept][:3] == [
        (None, SERVER), (HERE, CHANNEL), (HERE, f"{CHANNEL} default"),
    ]  # fmt: skip


async def test_it_takes_effect_at_the_next_reply_and_is_kept(settings: Settings) -> None:
    async with await Services.open(settings) as services:
        session = services.session(HERE, GUILD)
        await session.start("Fox", "A fox ran.", ANN)
        await services.dials.set(CHANNEL, "length", "9", ANN)
        reply = await session.write(None, ANN, Paper())
        assert reply.generated is not None
        assert reply.generated.tokens <= 9
    async with await Services.open(settings) as services:
        assert services.dials.sampling(HERE, GUILD).max_new_tokens == 9


@pytest.mark.parametrize(
    ("name", "text"),
    [("temperature", "hot"), ("temperature", "nan"), ("temperature", "-0.1"), ("top_p", "0"), ("top_p", "off"),
     ("top_k", "1.5"), ("top_k", "inf"), ("length", "4097"), ("length", "7"), ("repetition_penalty", "0.5"),
     ("volume", "1")],
)  # fmt: skip
async def test_what_cannot_be_is_refused_in_one_sentence(services: Services, name: str, text: str) -> None:
    with pytest.raises(InputError) as refusal:
        await services.dials.set(CHANNEL, name, text, ANN)
    assert str(refusal.value).count(".") - str(refusal.value).count("0.") <= 1
    with pytest.raises(InputError, match="steady, wild, default"):
        await services.dials.preset(CHANNEL, name, ANN)
    assert await services.store.settings(CHANNEL) == {}


async def test_a_range_that_was_narrowed_is_no_obstacle(services: Services, tmp_path: Path) -> None:
    await services.dials.set(CHANNEL, "length", "300", ANN)
    narrow = Dials(services.store, load_settings(data_dir=tmp_path, max_new_tokens=20, longest_reply=40))
    await narrow.load()
    assert narrow.sampling(HERE, None).max_new_tokens == 20


@given(st.text(max_size=12), st.sampled_from(["temperature", "top_p", "top_k", "repetition_penalty", "length"]))
def test_whatever_is_typed_gives_a_value_that_the_engine_takes(text: str, name: str) -> None:
    dials = Dials(None, load_settings())  # type: ignore[arg-type]
    try:
        value = dials.dials[name].read(text)
    except InputError:
        return
    SamplingParams(**{"max_new_tokens" if name == "length" else name: value})  # type: ignore[arg-type]


async def test_the_language_of_a_channel_is_its_own_or_its_servers(services: Services) -> None:
    dials = services.dials
    assert dials.language(HERE, GUILD) == "English"
    assert await dials.set(SERVER, "language", " german", ANN) == "German"
    await dials.preset(CHANNEL, "default", ANN)
    assert dials.language(HERE, GUILD) == "German", "presets know nothing of it"
    assert dials.language(HERE, None) == "English"
    await dials.set(CHANNEL, "language", "Japanese", ANN)
    assert (dials.language(HERE, GUILD), dials.language(HERE + 1, GUILD)) == ("Japanese", "German")
    with pytest.raises(InputError, match="English, German, Spanish, French, Japanese or Portuguese: choose one"):
        await dials.set(CHANNEL, "language", "Klingon", ANN)
    again = Dials(services.store, services.settings)
    await again.load()
    assert again.language(HERE, GUILD) == "Japanese"
    await dials.clear(CHANNEL, ANN)
    assert dials.language(HERE, GUILD) == "German"
