"""Settings of the running process, from `MINIATURE_…` variables and a `.env` file: read at start, never at import."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "MINIATURE_"
APP = "miniature-memory"
MAX_SHARDS = 10_000
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class SettingsError(Exception):
    """A setting cannot be used as it was given; the message is one sentence that names it."""


class Settings(BaseSettings):
    """What an operator may set. An empty variable counts as one that is not set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",  # a shared .env may hold the variables of other programs
        frozen=True,
        hide_input_in_errors=True,
    )

    discord_token: SecretStr | None = None  # none: the story is written in the terminal
    shard_count: int | None = Field(None, ge=1)  # of all processes together; none: as many as Discord recommends
    shard_ids: Annotated[tuple[int, ...], NoDecode] = ()  # those of this process; none: all of them
    key: SecretStr | None = None  # that seals members' texts, 64 hexadecimal digits; none: one in a file beside them
    owners: Annotated[frozenset[int], NoDecode] = frozenset()  # Discord user ids beside the application's owners
    message_content: bool = False  # asks Discord for what messages say, so that those in a story's thread are additions
    report_channel: int | None = Field(None, gt=0)  # a Discord channel that hears of reported messages
    data_dir: Path = Field(default_factory=lambda: platformdirs.user_data_path(APP, appauthor=False))
    database: Path | None = None  # none: in the data folder
    incoming: Path | None = None  # folders of weights that may be added by name; none: in the data folder
    weights: Path | None = None  # none: the weights activated last, else the bundled ones
    weights_keys: Annotated[tuple[str, ...], NoDecode] = ()  # public; with any, only weights that one has signed serve
    rules: Path | None = None  # what the operator adds to the lists of refused terms: a file, or a folder of them
    terminal_rating: Literal["general", "mature"] = "general"  # the most that stories of the terminal may be

    temperature: float = Field(0.8, ge=0, le=5)
    top_k: int | None = Field(None, ge=1)
    top_p: float = Field(0.9, gt=0, le=1)
    repetition_penalty: float = Field(1.15, ge=1, le=10)
    max_new_tokens: int = Field(160, ge=8, le=4096)
    longest_reply: int = Field(400, ge=8, le=4096)  # that a channel may choose, as all others wait for it

    queue_size: int = Field(256, ge=1, le=10_000)  # requests that may wait before further ones are refused
    channel_queue_size: int = Field(8, ge=1, le=1000)  # those of them from one channel
    # What one may ask for, so that nobody has the engine for himself; 0: as much as they like.
    requests_per_member: int = Field(30, ge=0, le=10_000)  # replies and tests of lessons, a minute
    requests_per_channel: int = Field(60, ge=0, le=10_000)
    requests_per_server: int = Field(300, ge=0, le=100_000)
    daily_lessons_per_member: int = Field(20, ge=0, le=10_000)  # taught, whether they are still there or not
    daily_lessons_per_channel: int = Field(40, ge=0, le=10_000)
    daily_lessons_per_server: int = Field(200, ge=0, le=100_000)
    lessons_per_member: int = Field(10, ge=0, le=1000)  # in one channel, so that it holds what more than one has taught
    lessons_per_channel: int = Field(20, ge=0, le=1000)  # each is read for every token, and they come to mix
    threads: int = Field(1, ge=1, le=256)  # of the engine: small models do not outgrow one
    log_level: LogLevel = "INFO"
    metrics_port: int | None = Field(None, ge=1, le=65535)  # of 127.0.0.1, for Prometheus; none: no metrics

    backup_hours: float = Field(24.0, ge=0, le=8760)  # from one backup to the next; 0: none
    backup_copies: int = Field(7, ge=1, le=1000)  # that stay; the oldest go first

    @property
    def database_file(self) -> Path:
        return self.database or self.data_dir / "memory.sqlite3"

    @property
    def key_bytes(self) -> bytes | None:
        return None if self.key is None else bytes.fromhex(self.key.get_secret_value().strip())

    @property
    def arrivals(self) -> Path:
        return self.incoming or self.data_dir / "incoming"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret among these, as it is: for whoever keeps them out of the log."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value.get_secret_value().strip() for value in values if isinstance(value, SecretStr))

    @property
    def has_token(self) -> bool:
        return self.discord_token is not None

    @field_validator("discord_token", mode="after")
    @classmethod
    def _no_blank_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is None or not token.get_secret_value().strip():
            return None
        return SecretStr(token.get_secret_value().strip())

    @field_validator("key", mode="after")
    @classmethod
    def _whole_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not re.fullmatch("[0-9a-fA-F]{64}", key.get_secret_value().strip()):
            raise ValueError("a key is 64 hexadecimal digits")
        return key

    @field_validator("shard_ids", mode="before")
    @classmethod
    def _ranges(cls, value: Any) -> Any:
        """Numbers and ranges of them: 0, 2-5."""
        if not isinstance(value, str):
            return value
        ids: list[Any] = []
        for part in value.replace(",", " ").split():
            first, dash, last = part.partition("-")
            fits = dash and first.isdecimal() and last.isdecimal() and 0 <= int(last) - int(first) < MAX_SHARDS
            ids += range(int(first), int(last) + 1) if fits else [part]
        return ids

    @field_validator("shard_ids", mode="after")
    @classmethod
    def _known_shards(cls, ids: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        count: int = info.data.get("shard_count") or 0
        if ids and not count:
            raise ValueError(f"{PREFIX}SHARD_COUNT has to say of how many shards these are")
        if ids and not all(0 <= shard < count for shard in ids):
            raise ValueError(f"shards are counted from 0 to {count - 1}")
        return tuple(sorted(set(ids)))

    @field_validator("weights_keys", mode="after")
    @classmethod
    def _whole_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch("[0-9a-f]{64}", key) for key in keys):
            raise ValueError("each key is the 64 hexadecimal digits that `python -m training keygen` has shown")
        return keys

    @field_validator("owners", "weights_keys", mode="before")
    @classmethod
    def _ids(cls, value: Any) -> Any:
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("data_dir", "database", "incoming", "weights", "rules", mode="after")
    @classmethod
    def _home(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser()


def load_settings(**given: Any) -> Settings:
    """The settings of this process; `given` ones win over the environment.

    Raises:
        SettingsError: one sentence that names every setting that cannot be used, never with its value.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = (f"{PREFIX}{str(e['loc'][0]).upper()} ({_lower(e['msg'])})" for e in error.errors(include_url=False))
        raise SettingsError(f"These settings cannot be used, so nothing was started: {', '.join(wrong)}.") from None
    except (UnicodeDecodeError, OSError, RuntimeError) as error:
        raise SettingsError(f"The settings cannot be read ({error}): mend or remove the .env file.") from None


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")
