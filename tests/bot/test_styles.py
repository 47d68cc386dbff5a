"""Style packs, as channels choose them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bot.errors import InputError
from bot.replying import NO_STYLE
from bot.services import Services
from config.settings import Settings
from engine.errors import AdapterError
from engine.folder import open_weights
from engine.pack import dump_pack
from engine.sampling import SamplingParams
from engine.shape import UnitGroup
from tests.bot.conftest import ANN, BEN, Paper, open_services

CHANNEL = 7
UNITS = 4
SAME_EVERY_TIME = SamplingParams(max_new_tokens=24, min_new_tokens=24, temperature=0)


def write_pack(file: Path, weights: Path) -> Path:
    """Random units for these weights."""
    stored = open_weights(weights)
    width, blocks = stored.config.n_embd, stored.config.n_layer
    draw = np.random.default_rng(5).standard_normal
    shapes = ((UNITS, width), (UNITS, width), (width, UNITS))
    groups = [UnitGroup(*(draw(shape).astype(np.float16) for shape in shapes)) for _ in range(blocks)]
    about = {"name": file.stem, "base_id": stored.base_id, "units": UNITS, "rating": "general", "corpora": []}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(dump_pack(groups, about))
    return file


async def _reply(services: Services, channel: int = CHANNEL) -> str:
    """The same every time, if nothing but the style has changed."""
    session = services.session(channel)
    await session.start("The fox", "Once upon a time, there was a fox.", ANN)
    return (await session.write(None, ANN, Paper())).turns[-1].text


async def test_the_shelf_says_which_packs_fit(settings: Settings, tiny_weights: Path, other_tiny_weights: Path) -> None:
    styles = settings.data_dir / "styles"
    verse = write_pack(styles / "verse.safetensors", tiny_weights)
    write_pack(styles / "prose.safetensors", other_tiny_weights)
    (styles / "broken.safetensors").write_bytes(b"?")
    (styles / "notes.txt").write_text("?")
    async with await open_services(settings) as services:
        entries = {entry.name: entry for entry in services.styles.list()}
        assert list(entries) == ["broken", "prose", "verse"]
        assert (entries["verse"].file, entries["verse"].problem) == (verse, None)
        assert entries["verse"].card is not None
        assert entries["prose"].problem
        assert entries["broken"].problem
        session = services.session(CHANNEL)
        for name, error in (("poem", InputError), ("prose", AdapterError), ("broken", AdapterError)):
            with pytest.raises(error) as refusal:
                await session.set_style(name, ANN)
            assert str(settings.data_dir) not in str(refusal.value), "nobody in a channel hears where things lie"
        assert not any(str(settings.data_dir) in (entry.problem or "") for entry in entries.values())
        assert (await session.memory()).style is None
        await services.worker.swap(other_tiny_weights).result()
        assert [entry.name for entry in services.styles.list() if not entry.problem] == ["prose"]


async def test_without_packs_the_shelf_is_empty_and_says_so(services: Services) -> None:
    assert services.styles.list() == []
    with pytest.raises(InputError, match="there are none"):
        await services.session(CHANNEL).set_style("verse", ANN)


async def test_a_style_is_the_channels_own(settings: Settings, tiny_weights: Path) -> None:
    write_pack(settings.data_dir / "styles" / "verse.safetensors", tiny_weights)
    async with await open_services(settings, SAME_EVERY_TIME) as services:
        session = services.session(CHANNEL)
        plain = await _reply(services)
        await session.set_style("verse", ANN)
        view = await session.memory()
        assert (view.style, view.style_problem) == ("verse", None)
        styled = await _reply(services)
        assert styled != plain
        assert await _reply(services, channel=8) == plain
        assert await _reply(services) == styled
        await session.set_style(None, BEN)
        assert await _reply(services) == plain
        assert [row.action for row in await services.store.audit_rows(9)] == ["style.off", "style.use"]


async def test_a_style_is_used_for_one_reply(settings: Settings, tiny_weights: Path, other_tiny_weights: Path) -> None:
    styles = settings.data_dir / "styles"
    write_pack(styles / "verse.safetensors", tiny_weights)
    write_pack(styles / "prose.safetensors", other_tiny_weights)
    async with await open_services(settings, SAME_EVERY_TIME) as services:
        session = services.session(CHANNEL)
        plain = await _reply(services)
        styled = (await session.retry(ANN, Paper(), style="verse")).turns[0].text
        assert styled != plain
        assert (await session.retry(ANN, Paper())).turns[0].text == plain, "for that once"
        assert (await session.memory()).style is None
        for name, error in (("poem", InputError), ("prose", AdapterError)):
            with pytest.raises(error):
                await session.write("She ran.", ANN, Paper(), style=name)
        assert [turn.text for turn in await session.tail(9999)][-1] == plain, "nothing was stored"


async def test_a_style_that_no_longer_fits_costs_no_reply(
    settings: Settings, tiny_weights: Path, other_tiny_weights: Path
) -> None:
    pack = write_pack(settings.data_dir / "styles" / "verse.safetensors", tiny_weights)
    async with await open_services(settings) as services:
        session = services.session(CHANNEL)
        await session.start("The fox", "Once upon a time, there was a fox.", ANN)
        await session.set_style("verse", ANN)
        assert (await session.write(None, ANN, Paper())).notice is None
        await services.worker.swap(other_tiny_weights).result()
        assert (await session.write(None, ANN, Paper())).notice == NO_STYLE.format(name="verse")
        assert (await session.memory()).style_problem
        await services.worker.swap(tiny_weights).result()
        assert (await session.write(None, ANN, Paper())).notice is None
        pack.unlink()
        assert (await session.write(None, ANN, Paper())).notice == NO_STYLE.format(name="verse")
        problem = (await session.memory()).style_problem
        assert problem is not None
        assert "has gone" in problem
