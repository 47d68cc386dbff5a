"""Plain messages in a story's thread are additions to it, only where the operator wants that: it takes the privileged
intent for what messages say, which everything else of the bot does without.
"""

from __future__ import annotations

import discord
from discord.ext import commands

from bot import access
from bot.gate import Gate
from bot.ping_reply import PingReplies, spoken


class ThreadCog(PingReplies, commands.Cog):
    """Hears of messages where the bot has the intent for it; an answer to a message is left to the story's own cog."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Who may not write, or writes where there is no story, is talking to others: that goes by without a word."""
        gate, thread = self.gate, message.channel
        if not gate.services.settings.message_content or not isinstance(thread, discord.Thread):
            return
        me = 0 if gate.bot.user is None else gate.bot.user.id
        if message.author.bot or message.type is not discord.MessageType.default or not spoken(message, me).strip():
            return
        if await gate.services.store.story(thread.id) is None:
            return
        if not access.allowed("story.add", await self._role_of(message)):
            return
        session = gate.services.session(thread.id, thread.guild.id)
        await self._answering(message, lambda: self._take_up(message, session))
