"""What the bot refuses, each with one sentence for the person who asked: what happened and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.access import Role


class BotError(Exception):
    """Root of the bot's error tree; `str(error)` is shown to people as it is."""


class StartError(BotError):
    """The process cannot start as it is set up."""


class InputError(BotError):
    """What somebody typed cannot be used."""


class RefusedError(BotError):
    """The content rules do not let a text pass. The message never says the word back.

    Attributes:
        category: the name of the list that the text met.
        where: what was checked, as people call it: "your text", "the reply", "the lesson", …
    """

    def __init__(self, category: str, where: str = "your text") -> None:
        self.category = category
        self.where = where
        super().__init__(
            f"{where[:1].upper()}{where[1:]} has something that stories here may not contain ({category}),"
            " so nothing was stored: try it another way."
        )


class NotAllowedError(BotError):
    """Somebody without the role for it asked for an action.

    Attributes:
        action: a key of `bot.access.ACTIONS`.
        needed: the least role that would allow it.
    """

    def __init__(self, action: str, needed: Role) -> None:
        self.action = action
        self.needed = needed
        super().__init__(f"You need the role {needed.name.lower()} or a higher one to use {action}.")
