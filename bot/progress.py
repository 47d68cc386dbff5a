"""What a long command says to its asker while it works, and at its end."""

from __future__ import annotations

from bot.gate import Gate, Interaction
from bot.output import harmless
from bot.places import AnswerPlace
from bot.streaming import MessageStream, PlaceLostError


class Progress:
    """A `Sink` in the answer that only the asker sees. Nothing is lost where it cannot be shown."""

    def __init__(self, gate: Gate, interaction: Interaction, doing: str = "") -> None:
        self._gate, self._interaction, self._doing = gate, interaction, doing
        self._stream = MessageStream(AnswerPlace(interaction, gate.services.breaker))

    async def queued(self, position: int, expected_wait: float) -> None:
        await self._stream.queued(position, expected_wait)

    async def show(self, text: str) -> None:
        await self._stream.show(self._doing + text)

    async def finish(self, text: str) -> None:
        """The result is reported by the command."""

    async def report(self, text: str) -> None:
        """The result in place of the progress. The text comes as it is, and is made harmless here."""
        self._interaction.extras["said"] = True
        try:
            await self._stream.finish(text)
        except PlaceLostError:
            await self._gate.say(self._interaction, harmless(text))

    async def close(self) -> None:
        await self._stream.close()
