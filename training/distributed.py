"""One training run in several processes: `torchrun --nproc-per-node 2 -m training train ...`.

Every process draws the same batch and takes its own rows of it. Losses are weighted by how many targets they count,
so that the gradient is that of the whole batch, in whatever number of processes and of pieces it was read.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.errors import RunError


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """The one that logs, validates and saves."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose `backward` leaves the mean of all processes' gradients; itself where there is one process."""
        if self.count == 1:
            return model
        return DistributedDataParallel(model, forward_sync_buffers=False, gradient_as_bucket_view=True)

    def apart(self, model: nn.Module, last: bool) -> Any:
        """A context in which gradients add up in this process alone; with the last piece they are exchanged."""
        return nullcontext() if last or self.count == 1 else model.no_sync()  # type: ignore[operator]

    def rows(self, batch: Tensor) -> Tensor:
        """This process's rows of the whole batch, (B, T) to (B / count, T).

        Raises:
            RunError: the rows cannot be shared out evenly.
        """
        if batch.size(0) % self.count:
            raise RunError(
                f"{batch.size(0)} rows of a batch cannot be shared evenly by {self.count} processes;"
                " start another number of them or change batch_size."
            )
        return batch.chunk(self.count)[self.rank]

    def mean(self, value: Tensor) -> float:
        """The mean over all processes of a number, ()."""
        if self.count > 1:
            dist.all_reduce(value)
            value /= self.count
        return float(value)

    def end(self) -> None:
        if self.count > 1:
            dist.destroy_process_group()


def join_processes(device: str | None) -> Processes:
    """What torchrun told this process; alone without it. With several GPUs each process takes its own.

    Args:
        device: "cpu", "cuda", "cuda:1" ...; None takes a GPU where there is one.

    Raises:
        RunError: there is no such device.
    """
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    chosen = find_device(device)
    if chosen.type == "cuda":
        if ":" not in str(chosen):  # no number was named
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        torch.cuda.set_device(chosen)
    if count > 1:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Processes(rank, count, chosen)


def find_device(name: str | None) -> torch.device:
    """A device by its name, checked.

    Raises:
        RunError: no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
        found = device.type in ("cpu", "cuda")
    except (RuntimeError, AssertionError):  # torch raises the latter where it was built without the device
        found = False
    if not found:
        raise RunError(f"There is no device {name!r} here; leave out --device, or name cpu or cuda.")
    return device
