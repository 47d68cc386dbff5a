"""What is told of a run beside its log: `run.json` in its folder, for reports and for the card of its weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from config.presets import Preset
from engine.model import GPT
from training.checkpoint import State
from training.distributed import Processes

RUN = "run.json"


def describe_run(preset: Preset, model: GPT, processes: Processes, compiled: bool) -> dict[str, Any]:
    """What is known at the start: preset, size, and the machine that computes."""
    on_gpu = processes.device.type == "cuda"
    return {
        "preset": preset.name, "parameters": model.parameter_count(), "vocab_size": model.config.vocab_size,
        "device": torch.cuda.get_device_name(processes.device) if on_gpu else "CPU", "processes": processes.count,
        "threads": torch.get_num_threads(), "autocast": preset.train.autocast, "compiled": compiled,
        "ema": preset.train.ema, "planned_steps": preset.train.steps,
    }  # fmt: skip


def update_record(state: State, processes: Processes) -> None:
    """What has changed by now: steps, tokens, seconds, and the highest memory of this or an earlier process."""
    peak = max(peak_memory_mb(processes.device), state.record.get("peak_memory_mb", 0.0))
    state.record |= {
        "steps": state.step, "tokens": state.tokens, "seconds": round(state.seconds, 1), "peak_memory_mb": peak,
    }  # fmt: skip


def write_record(folder: Path, record: dict[str, Any]) -> None:
    partial = folder / f"{RUN}.partial"
    partial.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(folder / RUN)


def peak_memory_mb(device: torch.device) -> float:
    """Most memory taken so far, in MB of 10^6 bytes: a GPU's by its tensors, else the process's resident memory."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    if sys.platform == "win32":  # it has no getrusage
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1)
