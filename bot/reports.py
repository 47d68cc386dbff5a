"""Reports of messages: what is noted of them, and how many one person may send."""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from bot.errors import InputError
from bot.output import line
from bot.services import Services
from memory import Author, StoreError

log = logging.getLogger(__name__)

MOST, WITHIN = 5, 3600.0  # reports of one person, in seconds
REMEMBERED = 1000  # people
_LINK = re.compile(r"<?https://(?:\w+\.)?discord(?:app)?\.com/channels/(@me|\d{1,20})/(\d{1,20})/(\d{1,20})/?>?")


def target(text: str, *, guild: int | None, channel: int | None) -> str:
    """The link of a message of this server, or of these direct messages. Raises `InputError`."""
    found = _LINK.fullmatch(text.strip())
    if found is None:
        raise InputError("That is no link of a message: take it from the message's menu, Copy Message Link.")
    place, within, message = found.groups()
    here = (place, within) == ("@me", str(channel)) if guild is None else place == str(guild)
    if not here:
        raise InputError("That message is not of here: report it where it stands.")
    return f"https://discord.com/channels/{place}/{within}/{message}"


def report_line(by: Author, link: str, reason: str) -> str:
    return f"Reported by {line(by.name, 60)} ({by.id}): {line(reason)}\n<{link}>"


class Reports:
    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services, self._clock = services, clock
        self._sent: OrderedDict[int, deque[float]] = OrderedDict()

    async def note(self, person: int, channel: int | None, link: str, reason: str) -> None:
        """Writes the report into the audit log, which keeps it. Raises `InputError` where one sends too many."""
        now, sent = self._clock(), self._sent.setdefault(person, deque(maxlen=MOST))
        self._sent.move_to_end(person)
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        if len(sent) == MOST and now - sent[0] < WITHIN:
            raise InputError(f"You have sent {MOST} reports within the hour: they are kept, send further ones later.")
        sent.append(now)
        try:
            await self._services.store.audit(person, channel, "report.send", f"{reason}: {link}")
        except StoreError:
            sent.remove(now)
            raise
        log.warning("a message was reported: %s", link)
