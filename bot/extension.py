"""`await bot.load_extension("bot.extension")` in any discord.py bot: the story cogs, and nothing of the host's touched.

The host syncs its own command tree. A host that is ours has `services`; for any other one they are opened here from the
environment's settings, and closed when the extension is unloaded.
"""

from __future__ import annotations

from bot.access_cog import AccessCog
from bot.gate import Bot, Gate
from bot.memory_cog import MemoryCog
from bot.privacy_cog import PrivacyCog
from bot.services import Services
from bot.settings_cog import SettingsCog
from bot.status_cog import StatusCog
from bot.story_cog import StoryCog
from bot.teach_cog import TeachCog
from bot.thread_cog import ThreadCog
from bot.weights_cog import WeightsCog
from config.settings import load_settings

COGS = (StoryCog, ThreadCog, TeachCog, MemoryCog, WeightsCog, SettingsCog, PrivacyCog, StatusCog, AccessCog)


async def setup(bot: Bot) -> None:
    given = getattr(bot, "services", None)
    if isinstance(given, Services):
        gate = Gate(bot, given)
    else:
        services = await Services.open(load_settings(), guest=True)
        gate = Gate(bot, services, owned=True)
    added: list[str] = []
    try:
        for cog in COGS:
            await bot.add_cog(cog(gate))
            added.append(cog.__cog_name__)
    except BaseException:  # the host may have a command of one of these names
        for name in reversed(added):
            await bot.remove_cog(name)
        await gate.close()
        raise


async def teardown(bot: Bot) -> None:
    """The story cog closes the gate, and with it services opened by `setup`."""
    for cog in reversed(COGS):
        await bot.remove_cog(cog.__cog_name__)
