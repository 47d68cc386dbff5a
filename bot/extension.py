"""`await bot.load_extension("bot.extension")` in any discord.py bot: the story cogs, and nothing of the host's touched.

The host syncs its own command tree. A host that is ours has `services`; for any other one they are opened here from the
environment's settings, and closed when the extension is unloaded.
"""

from __future__ import annotations

from bot.channel_cog import ChannelCog
from bot.gate import Bot, Gate
from bot.services import Services
from bot.story_cog import StoryCog
from config.settings import load_settings


async def setup(bot: Bot) -> None:
    given = getattr(bot, "services", None)
    if isinstance(given, Services):
        gate = Gate(bot, given)
    else:
        services = await Services.open(load_settings())
        gate = Gate(bot, services, owned=True)
    try:
        await bot.add_cog(StoryCog(gate))
        await bot.add_cog(ChannelCog(gate))
    except BaseException:
        await gate.close()
        raise


async def teardown(bot: Bot) -> None:
    """The story cog closes the gate, and with it services opened by `setup`."""
    for name in (ChannelCog.__cog_name__, StoryCog.__cog_name__):
        await bot.remove_cog(name)
