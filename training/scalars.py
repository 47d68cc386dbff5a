"""The numbers of a run for TensorBoard, where that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Scalars:
    """Writes each row's numbers under their names into a folder that `tensorboard --logdir` reads; else nothing."""

    def __init__(self, folder: Path, start: int) -> None:
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder), purge_step=start + 1)

    def write(self, row: dict[str, Any]) -> None:
        if self._writer is not None:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
