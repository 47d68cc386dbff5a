"""What the bot refuses, each with one sentence for the person who asked: what happened and what to do."""

from __future__ import annotations

import math
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


class QuotaSpentError(BotError):
    """Somebody, a channel or a server has had its share for now.

    Attributes:
        what: "requests" (of a minute) or "lessons" (of a day).
        whose: whose share it was: "member", "channel" or "server".
        limit: how many those are.
        free_in: seconds until one is free again.
    """

    def __init__(self, what: str, whose: str, limit: int, free_in: float) -> None:
        self.what, self.whose, self.limit, self.free_in = what, whose, limit, free_in
        has_had = "You have had" if whose == "member" else f"This {whose} has had"
        span = "a minute" if what == "requests" else "a day"
        whole = "all" if limit > 1 else "the only one"
        super().__init__(
            f"{has_had} {whole} of the {limit} {what} {span} that a {whose} may have:"
            f" the next is free in {_lasting(free_in)}, so try again then."
        )


class HeldBackError(BotError, OSError):
    """A request was not sent, as Discord refused others like it. An `OSError` too, as it stands for an answer that did
    not come, and whoever sends something is ready for that.

    Attributes:
        free_in: seconds until it may be sent; None: never, as the bot's token is not taken any more.
    """

    def __init__(self, free_in: float | None, *, everywhere: bool = False) -> None:
        self.free_in = free_in
        if free_in is None:
            said = "Discord takes no more requests from me, so whoever runs me has to give me a new token."
        elif everywhere:
            said = f"Discord has refused too much of me, so I keep quiet for {_lasting(free_in)}: try again then."
        else:
            said = f"Discord has refused this, so I do not ask for it again for {_lasting(free_in)}: try again then."
        super().__init__(said)


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


def _lasting(seconds: float) -> str:
    """Rounded up, so that nobody comes too early."""
    whole = max(1, math.ceil(seconds))
    if whole < 120:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = math.ceil(whole / 60)
    if minutes < 120:
        return f"{minutes} minutes"
    hours = math.ceil(minutes / 60)
    return f"{hours} hours"
