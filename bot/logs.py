"""Where the process writes its log: a file in the data folder, and with a bot also the standard error."""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.errors import StartError
from config.settings import Settings

FILE = "log.txt"
MAX_BYTES, KEPT_FILES = 1_000_000, 3
OURS = ("bot", "engine", "memory")  # loggers whose lines hold no text of members
KEPT_TROUBLES = 8
MAX_TROUBLE = 160  # characters
# The token of an interaction lets whoever reads it answer in our name for a quarter of an hour.
_TOKENS = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/\s?\"']+")


def redacted(text: str) -> str:
    """Without the tokens that stand in the addresses of Discord's interface."""
    return _TOKENS.sub(r"\1…", text)


class Redacting(logging.Formatter):
    """Tracebacks too come without the bot's token and those of interactions."""

    def __init__(self, layout: str, secret: str | None) -> None:
        super().__init__(layout)
        self._secret = secret

    def format(self, record: logging.LogRecord) -> str:
        text = redacted(super().format(record))
        return text.replace(self._secret, "…") if self._secret else text


@dataclass(frozen=True)
class Trouble:
    """A warning or an error, as the log has it."""

    at: float  # Unix seconds
    level: str
    where: str  # the logger's name
    what: str


class Troubles(logging.Handler):
    """Keeps the last warnings and errors of our loggers for whoever runs the process."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last: deque[Trouble] = deque(maxlen=KEPT_TROUBLES)

    def attach(self, names: Sequence[str] = OURS) -> None:
        for name in names:
            logging.getLogger(name).addHandler(self)

    def detach(self, names: Sequence[str] = OURS) -> None:
        for name in names:
            logging.getLogger(name).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        what = redacted(" ".join(record.getMessage().split()))[:MAX_TROUBLE]
        if record.exc_info and record.exc_info[0] is not None:
            what += f" ({record.exc_info[0].__name__})"
        self.last.append(Trouble(record.created, record.levelname, record.name, what))


def log_file(settings: Settings) -> Path:
    return settings.data_dir / FILE


def configure(settings: Settings, *, console: bool) -> None:
    """Raises `StartError` where the data folder cannot be written."""
    path = log_file(settings)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.open("a", encoding="utf-8").close()
    except OSError as error:
        raise StartError(
            f"The data folder {path.parent} cannot be used ({error.strerror}): make it writable, or set"
            " MINIATURE_DATA_DIR to another."
        ) from error
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8")
    ]
    if console:
        handlers.append(logging.StreamHandler(sys.stderr))
    secret = settings.discord_token.get_secret_value() if settings.discord_token else None
    for handler in handlers:
        handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s", secret))
    logging.basicConfig(level=settings.log_level, handlers=handlers)
    logging.getLogger("aiosqlite").setLevel(logging.INFO)  # its debug lines hold the texts that are stored
