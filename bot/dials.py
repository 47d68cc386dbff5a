"""How replies are drawn, and how many one may ask for: what the operator, a server and a channel have chosen, and what
of it holds."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from bot.budgets import MOST_SHARE, Budgets
from bot.errors import InputError
from bot.phrases import ENGLISH, load_phrases
from config.settings import Settings
from engine.sampling import SamplingParams
from memory import Author, Store

KEY, PRESET, LANGUAGE = "reply.", "preset", "language"  # settings of a place: reply.temperature, reply.preset, …
OFF = "off"
DEFAULT = "the default"  # the source of what nobody chose
MIN_REPLY = 8  # tokens: a reply that ends at once is none
GUILD = "guild:"  # begins the scope of a server
UNLIMITED = 10_000  # the most that a server may choose where the operator sets no limit
Value = float | int | str | None


@dataclass(frozen=True)
class Dial:
    """Something to turn; what people may type for it lies between `least` and `most`."""

    name: str
    about: str
    least: float
    most: float
    hints: tuple[str, ...]  # values worth a try
    whole: bool = False
    may_be_off: bool = False

    @property
    def range(self) -> str:
        return f"{self.least:g} to {self.most:g}{', or off' if self.may_be_off else ''}"

    def read(self, text: str) -> Value:
        """Raises `InputError`."""
        text = text.strip().lower()
        if self.may_be_off and text == OFF:
            return None
        try:
            value = float(text.replace(",", ".", 1))
        except ValueError:
            value = math.nan
        if not self.least <= value <= self.most or (self.whole and not value.is_integer()):
            kind = "a whole number from " if self.whole else ""
            raise InputError(f"{self.name} takes {kind}{self.range}: choose one of those.")
        return int(value) if self.whole else round(value, 4)


@dataclass(frozen=True)
class Choice:
    """Something of which one of few is chosen."""

    name: str
    about: str
    hints: tuple[str, ...]  # all that there are

    @property
    def range(self) -> str:
        return " or ".join((", ".join(self.hints[:-1]), self.hints[-1]))

    def read(self, text: str) -> str:
        """Raises `InputError`."""
        found = next((hint for hint in self.hints if hint.casefold() == text.strip().casefold()), None)
        if found is None:
            raise InputError(f"{self.name} takes {self.range}: choose one of those.")
        return found


def shown(value: Value) -> str:
    return value if isinstance(value, str) else OFF if value is None else f"{value:g}"


PRESETS: Mapping[str, Mapping[str, Value]] = MappingProxyType(
    {
        "steady": {"temperature": 0.6, "top_p": 0.85, "top_k": 40, "repetition_penalty": 1.15},
        "wild": {"temperature": 1.1, "top_p": 0.97, "top_k": None, "repetition_penalty": 1.2},
        "default": {},  # the operator's, whatever the server has chosen
    }
)


@dataclass(frozen=True)
class Held:
    """What holds for a dial in a channel, and who chose it."""

    dial: Dial | Choice
    value: Value
    source: str

    @property
    def line(self) -> str:
        return f"{self.dial.name}: {shown(self.value)} ({self.source}; {self.dial.about}; {self.dial.range})"


SHARES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "requests_per_member": ("replies a minute that one member may ask for", ("5", "10", "30")),
        "requests_per_channel": ("replies a minute in one channel", ("10", "30", "60")),
        "daily_lessons_per_member": ("lessons a day that one member may teach", ("1", "5", "20")),
    }
)


# What `Budgets` holds, in this order.
MEMORY: Mapping[str, Dial] = MappingProxyType(
    {
        dial.name: dial
        for dial in (
            Dial("pins_budget", "the share of what the model reads that pins may take", 0, MOST_SHARE,
                 ("0.05", "0.1", "0.2", "0.25")),
            Dial("summary_budget", "the share that the summary may take; 0: it is not read", 0, MOST_SHARE,
                 ("0", "0.05", "0.125", "0.25")),
        )
    }
)  # fmt: skip


class Dials:
    """Of all channels. They are kept in memory, so that a session reads them without waiting; few are ever turned.

    A place is a scope of the store's settings: "channel:5", or "guild:1" for what holds where a channel chose nothing.
    """

    def __init__(self, store: Store, settings: Settings, own: SamplingParams | None = None) -> None:
        """`own`: the operator's choice, by default that of the settings."""
        self._store = store
        self._own = own or SamplingParams(
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            repetition_penalty=settings.repetition_penalty,
            min_new_tokens=min(MIN_REPLY, settings.max_new_tokens),
            stop_at_sentence=True,
        )
        self._chosen: defaultdict[str, dict[str, str]] = defaultdict(dict)
        longest = max(settings.longest_reply, settings.max_new_tokens)
        self.dials: Mapping[str, Dial] = {
            dial.name: dial
            for dial in (
                Dial("temperature", "how boldly words are drawn", 0, 2, ("0.6", "0.8", "1", "1.2")),
                Dial("top_p", "the share of likely words drawn from", 0.05, 1, ("0.8", "0.9", "0.95", "1")),
                Dial("top_k", "the most words drawn from", 1, 1000, (OFF, "20", "40", "100"), True, True),
                Dial("repetition_penalty", "how much words just used are avoided", 1, 2, ("1", "1.15", "1.3")),
                Dial("length", "tokens of the longest reply", MIN_REPLY, longest, _lengths(longest), True),
            )
        }

        # Of what all in a channel see; what one alone sees stays English.
        self.words = Choice(LANGUAGE, "language of what all in a Discord channel see of the bot", tuple(load_phrases()))
        self._limits = {name: int(getattr(settings, name)) for name in SHARES}
        # What a server may choose for itself: less than the operator allows, as the engine serves others too.
        self.limits: Mapping[str, Dial] = {
            name: Dial(name, about, 1, self._limits[name] or UNLIMITED, hints, True)
            for name, (about, hints) in SHARES.items()
        }

    @property
    def known(self) -> Mapping[str, Dial | Choice]:
        """All that can be chosen, by its name."""
        return {**self.dials, **MEMORY, LANGUAGE: self.words, **self.limits}

    async def load(self) -> None:
        """Reads what was chosen before this process started."""
        for place, chosen in (await self._store.settings_beginning(KEY)).items():
            self._chosen[place] = {key.removeprefix(KEY): value for key, value in chosen.items()}

    def sampling(self, channel: int, guild: int | None) -> SamplingParams:
        """How the next reply of a channel is drawn."""
        held = (self._held(dial, channel, guild) for dial in self.dials.values())
        values: dict[str, Any] = {one.dial.name: one.value for one in held}
        length = values.pop("length")
        return replace(self._own, max_new_tokens=length, min_new_tokens=min(self._own.min_new_tokens, length), **values)

    def budgets(self, channel: int, guild: int | None) -> Budgets:
        """What pins and summary of a channel may take, as far as somebody chose it."""
        held = (self._held(dial, channel, guild) for dial in MEMORY.values())
        pins, summary = (None if one.source == DEFAULT else float(one.value or 0) for one in held)
        return Budgets(pins, summary)

    def language(self, channel: int, guild: int | None) -> str:
        """In which the bot speaks to all of a channel: one that `bot.phrases` has."""
        return str(self._held(self.words, channel, guild).value)

    def held(self, channel: int, guild: int | None) -> list[Held]:
        """Each dial as it stands for a channel, and in a server what its members may ask for."""
        limits = [] if guild is None else [self._share(dial, guild) for dial in self.limits.values()]
        turned: tuple[Dial | Choice, ...] = (*self.dials.values(), *MEMORY.values(), self.words)
        return [*(self._held(dial, channel, guild) for dial in turned), *limits]

    def limit(self, guild: int, name: str) -> int | None:
        """What a server has chosen for its members, where it has: a name of `SHARES`."""
        with suppress(InputError, KeyError):
            return int(self.limits[name].read(self._chosen.get(f"{GUILD}{guild}", {})[name]) or 0)
        return None

    def _share(self, dial: Dial, guild: int) -> Held:
        chosen = self.limit(guild, dial.name)
        if chosen is None:
            return Held(dial, self._limits[dial.name] or None, DEFAULT)
        return Held(dial, chosen, "this server")

    def _held(self, dial: Dial | Choice, channel: int, guild: int | None) -> Held:
        places = [(f"channel:{channel}", "this channel"), (f"{GUILD}{guild}", "this server")]
        for place, name in places[: 1 if guild is None else 2]:
            chosen = self._chosen.get(place, {})
            with suppress(InputError, KeyError):  # the operator may have narrowed a range since it was chosen
                return Held(dial, dial.read(chosen[dial.name]), name)
            preset = chosen.get(PRESET, "")
            if preset in PRESETS and dial.name in PRESETS[preset]:
                return Held(dial, PRESETS[preset][dial.name], f"{name}'s preset {preset}")
            if preset == "default" and dial.name in PRESETS["steady"]:
                return Held(dial, self._operators(dial.name), f"{name}'s preset {preset}")
        return Held(dial, self._operators(dial.name), DEFAULT)

    def _operators(self, name: str) -> Value:
        if name in MEMORY:
            return {"pins_budget": Budgets().pins_share, "summary_budget": Budgets().summary_share}[name]
        if name == LANGUAGE:
            return ENGLISH.language
        value: Value = getattr(self._own, "max_new_tokens" if name == "length" else name)
        return value

    # Turning them; each holds from the next reply on

    async def set(self, place: str, name: str, text: str, actor: Author) -> Value:
        """Raises `InputError`."""
        dial = self.known.get(name)
        if dial is None:
            raise InputError(f"There is no setting of that name: choose one of {', '.join(self.known)}.")
        if name in self.limits and not place.startswith(GUILD):
            raise InputError(f"{name} holds for a whole server, not for one channel: set it in the server.")
        value = dial.read(text)
        await self._put(place, {name: shown(value)}, actor, "settings.set", f"{name} = {shown(value)}")
        return value

    async def preset(self, place: str, name: str, actor: Author) -> None:
        """Raises `InputError`. What was set of the dials that presets know gives way; the length stays."""
        if name not in PRESETS:
            raise InputError(f"There is no preset of that name: choose one of {', '.join(PRESETS)}.")
        changes: dict[str, str | None] = dict.fromkeys(PRESETS["steady"])
        await self._put(place, {**changes, PRESET: name}, actor, "settings.preset", name)

    async def clear(self, place: str, actor: Author) -> None:
        """What the place has chosen goes."""
        await self._put(place, dict.fromkeys([*self.known, PRESET]), actor, "settings.clear", "")

    async def _put(self, place: str, changes: Mapping[str, str | None], actor: Author, action: str, what: str) -> None:
        # To its end even if who asked is gone, since the store goes on to its end too: what holds is what it keeps.
        await asyncio.shield(asyncio.ensure_future(self._keep(place, changes, actor, action, what)))

    async def _keep(self, place: str, changes: Mapping[str, str | None], actor: Author, action: str, what: str) -> None:
        channel = place.removeprefix("channel:")
        where = int(channel) if channel != place else None
        noting = self._store.noting(actor.id, where, action, f"{place} {what}".strip())
        await noting.set_settings(place, {KEY + key: value for key, value in changes.items()})
        held = {**self._chosen[place], **changes}
        self._chosen[place] = {key: value for key, value in held.items() if value is not None}


def _lengths(longest: int) -> tuple[str, ...]:
    return tuple(str(length) for length in (40, 80, 160, 320) if length <= longest)
