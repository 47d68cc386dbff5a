"""What pins and summary may take of what the model reads: a channel's choice, or its server's."""

from __future__ import annotations

from dataclasses import dataclass

from engine.prompt import MEMORY_SHARE
from engine.worker import SUMMARY_SHARE

MOST_SHARE = MEMORY_SHARE / 2  # of the window: memory has half of what a reply leaves, and a reply half of the window


@dataclass(frozen=True)
class Budgets:
    """Shares of the window, from 0 to `MOST_SHARE`; None where nobody chose one.

    A share that was chosen holds for what is there already: pins and lines that it has no room for are not read. The
    defaults hold for what is added and summarised from now on.
    """

    pins: float | None = None
    summary: float | None = None

    @property
    def pins_share(self) -> float:
        return MOST_SHARE if self.pins is None else self.pins

    @property
    def summary_share(self) -> float:
        return SUMMARY_SHARE if self.summary is None else self.summary

    @property
    def folded_share(self) -> float:
        """What a new summary may take: one that is switched off is kept up, and there when it is switched on again."""
        return self.summary_share or SUMMARY_SHARE
