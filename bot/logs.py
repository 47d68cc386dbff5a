"""Where the process writes its log: a file in the data folder, and with a bot also the standard error."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

from bot.errors import StartError
from config.settings import Settings

FILE = "log.txt"
MAX_BYTES, KEPT_FILES = 1_000_000, 3


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
    logging.basicConfig(
        level=settings.log_level, handlers=handlers, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("aiosqlite").setLevel(logging.INFO)  # its debug lines hold the texts that are stored
