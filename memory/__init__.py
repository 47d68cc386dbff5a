"""What channels remember, in one SQLite file: stories, summaries, pins, lessons, settings, the audit log."""

from memory.errors import (
    DatabaseDamagedError,
    DatabaseInUseError,
    DatabaseTooNewError,
    DatabaseUnavailableError,
    DiskFullError,
    HeadMovedError,
    MigrationError,
    NoStoryError,
    NotFoundError,
    NothingToRedoError,
    NothingToUndoError,
    QuotaError,
    StoreClosedError,
    StoreError,
)
from memory.migrations import MIGRATIONS, Migration
from memory.moving import GUILD
from memory.people import Belongings
from memory.rows import (
    AuditRow,
    Author,
    LessonRow,
    NewTurn,
    Note,
    Pin,
    Removed,
    Story,
    SummaryRow,
    Turn,
    TurnKind,
    Twig,
    VectorsRow,
)
from memory.store import Store
from memory.transaction import Transaction

__all__ = [
    "GUILD",
    "MIGRATIONS",
    "AuditRow",
    "Author",
    "Belongings",
    "DatabaseDamagedError",
    "DatabaseInUseError",
    "DatabaseTooNewError",
    "DatabaseUnavailableError",
    "DiskFullError",
    "HeadMovedError",
    "LessonRow",
    "Migration",
    "MigrationError",
    "NewTurn",
    "NoStoryError",
    "NotFoundError",
    "Note",
    "NothingToRedoError",
    "NothingToUndoError",
    "Pin",
    "QuotaError",
    "Removed",
    "Store",
    "StoreClosedError",
    "StoreError",
    "Story",
    "SummaryRow",
    "Transaction",
    "Turn",
    "TurnKind",
    "Twig",
    "VectorsRow",
]
