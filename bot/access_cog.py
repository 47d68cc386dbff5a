"""/access: who may do what in a server."""

from typing import Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.access import Role
from bot.gate import ASSIGNABLE, Gate, Interaction, command, group, scope, server_of
from bot.output import harmless

RoleName = Literal["writer", "teacher", "keeper"]
_DEFAULTS = {Role.WRITER: "every member", Role.TEACHER: "keepers only", Role.KEEPER: "whoever may Manage Server"}


class AccessCog(commands.Cog):
    access = group("access", "Who may do what in this server", dms=False)

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    @command("access.show", "show", "Shows who may do what here", access)
    async def show(self, interaction: Interaction) -> None:
        guild = server_of(interaction)
        assigned = await self.gate.assigned(guild)
        yours = (await self.gate.role(interaction)).name.lower()
        lines = [f"You are {'an' if yours == 'owner' else 'a'} {yours}."]
        if self.gate.runs_alone(interaction) and yours != "owner":
            lines.append("As I serve this server alone, you as an administrator may change the weights too.")
        for role in ASSIGNABLE:
            found = interaction.guild.get_role(assigned[role]) if role in assigned and interaction.guild else None
            who = _DEFAULTS[role] if role not in assigned else harmless(found.name) if found else "a role that is gone"
            lines.append(f"{role.name.capitalize()}: {who}")
        lines.append(f"Teaching is {'on' if await self.gate.teaching(guild) else 'off'}: /teach switch changes it.")
        await self.gate.say(interaction, "\n".join(lines))

    @command("access.set", "set", "Says which Discord role makes somebody a writer, teacher or keeper", access)
    @app_commands.describe(role="What they may then do", discord_role="Who; none brings the default back")
    async def set_role(
        self, interaction: Interaction, role: RoleName, discord_role: discord.Role | None = None
    ) -> None:
        guild, store = server_of(interaction), self.gate.services.store
        given = str(discord_role.id) if discord_role else None
        detail = f"guild {guild}: {role} = {given or 'default'}"
        noting = store.noting(interaction.user.id, interaction.channel_id, "access.set", detail)
        await noting.set_setting(scope(guild), f"access.{role}", given)
        who = harmless(discord_role.name) if discord_role else _DEFAULTS[Role[role.upper()]]
        await self.gate.say(interaction, f"{role.capitalize()}: {who}")
