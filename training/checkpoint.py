"""A run's checkpoint: everything that the next step depends on, in one file that is replaced only when it is whole."""

from __future__ import annotations

import os
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from config.presets import Preset
from engine.model import GPT, GPTConfig
from training.average import Average
from training.data import Mixture
from training.errors import RunError


@dataclass
class State:
    """What a run is made of, between two steps."""

    model: GPT
    optimizers: list[torch.optim.Optimizer]
    mixture: Mixture
    scaler: torch.amp.GradScaler  # keeps fp16 gradients in range; does nothing otherwise
    average: Average | None
    record: dict[str, Any]  # what is told of the run: see `training.record`
    step: int = 0  # steps done
    seconds: float = 0.0  # spent in them
    tokens: int = 0  # read in them

    @property
    def best(self) -> GPT:
        """The weights that are validated and exported."""
        return self.average.model if self.average is not None else self.model


def save_checkpoint(path: Path, state: State, preset: Preset) -> None:
    saved = {
        "model": state.model.state_dict(), "optimizers": [o.state_dict() for o in state.optimizers],
        "average": state.average.model.state_dict() if state.average is not None else None,
        "scaler": state.scaler.state_dict(), "drawn": state.mixture.state(), "config": asdict(state.model.config),
        "preset": asdict(preset), "manifest": state.mixture.manifest, "record": state.record,
        "step": state.step, "seconds": state.seconds, "tokens": state.tokens,
    }  # fmt: skip
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(saved, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint as it was saved, on the CPU.

    Raises:
        RunError: it is missing, damaged, or no checkpoint of a run.
    """
    if not path.is_file():
        raise RunError(f"{path} is missing; train first, or leave out --resume.")
    saved = read_torch_file(path)
    if not isinstance(saved, dict) or not {"model", "config", "manifest", "step"} <= set(saved):
        raise RunError(f"{path} is no checkpoint of a run; name the folder of a run, or train anew.")
    return saved


def read_torch_file(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU; tensors and plain values alone, so that no file can run code.

    Raises:
        RunError: it is damaged or holds something else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise RunError(f"{path} is damaged or no checkpoint; put back a copy of it, or train anew.") from error


def load_checkpoint(path: Path, state: State) -> None:
    """Bring a fresh state to where the run was.

    Raises:
        RunError: the checkpoint is unreadable, or of another shape, data or optimizer.
    """
    saved = read_checkpoint(path)
    if GPTConfig(**saved["config"]) != state.model.config:
        raise RunError(f"{path} holds a model of another shape; resume with the preset it began with.")
    if saved["manifest"] != state.mixture.manifest:
        raise RunError(f"{path} was trained on other data; resume with the data it began with.")
    groups = [[len(group["params"]) for group in o["param_groups"]] for o in saved["optimizers"]]
    if groups != [[len(group["params"]) for group in o.param_groups] for o in state.optimizers]:
        raise RunError(f"{path} was trained with another optimizer; resume with the preset it began with.")
    state.model.load_state_dict(saved["model"])
    for optimizer, old in zip(state.optimizers, saved["optimizers"], strict=True):
        # The preset's settings hold, which may have been changed between two phases of a run; and this device's.
        settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        old["param_groups"] = [group | new for group, new in zip(old["param_groups"], settings, strict=True)]
        optimizer.load_state_dict(old)
    if state.average is not None:  # a preset may begin to average in a later phase of a run
        state.average.model.load_state_dict(saved.get("average") or saved["model"])
    if saved.get("scaler"):
        state.scaler.load_state_dict(saved["scaler"])
    state.mixture.restore(saved["drawn"])
    state.record = saved.get("record", {}) | state.record
    state.step, state.seconds, state.tokens = saved["step"], saved["seconds"], saved["tokens"]
