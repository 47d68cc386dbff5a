"""Where the process writes its log: a file in the data folder, and with a bot also the standard error."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.errors import StartError
from bot.host_paths import without_paths
from bot.redaction import Redactor, one_line
from config.settings import Settings

FILE = "log.txt"
MAX_BYTES, KEPT_FILES = 1_000_000, 3
OURS = ("bot", "engine", "memory")  # loggers whose lines hold no text of members
KEPT_TROUBLES = 8
MAX_TROUBLE = 160  # characters
LAYOUT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
BEHIND = "  | "  # begins each line of a record but the first
MAX_RECORD = 20_000  # characters
# At DEBUG their lines hold what people typed and what the store keeps, and tokens of interactions.
RESERVED = ("aiosqlite", "discord", "aiohttp")


class Redacting(logging.Formatter):
    """A record as lines that nobody else can have written: the first one begins with the time, all others with
    `BEHIND`, whatever stands in a name, a message or a traceback; and none of them holds a secret."""

    def __init__(self, layout: str = LAYOUT, redactor: Redactor | None = None) -> None:
        super().__init__(layout)
        self._redactor = redactor or Redactor()

    def format(self, record: logging.LogRecord) -> str:
        record.message = said(record)
        record.asctime = self.formatTime(record)
        behind = [self.formatException(record.exc_info)] if record.exc_info else []
        behind += [self.formatStack(record.stack_info)] if record.stack_info else []
        first = one_line(self._redactor(self.formatMessage(record))[:MAX_RECORD])
        details = self._redactor("\n".join(behind))[:MAX_RECORD]
        return "\n".join([first, *(f"{BEHIND}{one_line(line)}" for line in details.split("\n") if line)])


def said(record: logging.LogRecord) -> str:
    """A record's message, also of one whose parts do not fit each other."""
    try:
        return record.getMessage()
    except Exception as error:  # whatever its parts raise as they are turned into text
        return f"{record.msg!r} could not be put together ({type(error).__name__})"


@dataclass(frozen=True)
class Trouble:
    """A warning or an error, as the log has it."""

    at: float  # Unix seconds
    level: str
    where: str  # the logger's name
    what: str


class Troubles(logging.Handler):
    """Keeps the last warnings and errors of our loggers for whoever runs the process."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__(logging.WARNING)
        self._redactor = Redactor(secrets)
        self.last: deque[Trouble] = deque(maxlen=KEPT_TROUBLES)

    def attach(self, names: Sequence[str] = OURS) -> None:
        for name in names:
            logging.getLogger(name).addHandler(self)

    def detach(self, names: Sequence[str] = OURS) -> None:
        for name in names:
            logging.getLogger(name).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        what = one_line(without_paths(self._redactor(" ".join(said(record).split()))))[:MAX_TROUBLE]
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
    formatter = Redacting(redactor=Redactor(settings.secrets))
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=settings.log_level, handlers=handlers)
    logging.raiseExceptions = False  # or a record that cannot be written would be, as it is, to the standard error
    for name in RESERVED:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelNamesMapping()[settings.log_level]))
