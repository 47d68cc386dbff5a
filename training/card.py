"""What weights say of themselves: `card.json`, made from what their checkpoint and its log recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.progress import read_rows

CURVE_POINTS = 12
ARITHMETIC = {
    "bf16": "bfloat16 autocast over float32 weights",
    "fp16": "float16 autocast over float32 weights",
    "off": "float32",
}


def make_card(name: str, parameters: int, saved: dict[str, Any], curve: dict[str, float]) -> dict[str, Any]:
    """The whole card, but for the evaluation and the number of credits.

    Args:
        saved: a run's checkpoint.
        curve: see `read_curve`.
    """
    told = describe_run(saved)
    card = {"name": name, "rating": told["rating"], "parameters": parameters, "about": saved["preset"]["about"]} | told
    if curve:
        text = "the first documents of the validation text, up to 100,000 characters"
        card["training"]["curve"] = {"text": text, "bits_per_byte_after_steps": curve}
    return card


def describe_run(saved: dict[str, Any]) -> dict[str, Any]:
    """Rating, corpora, training, and the weights it began from: what a checkpoint knows of its own."""
    corpora = [describe(source) for source in saved["manifest"]["sources"]]
    preset, settings, record = saved["preset"], saved["preset"]["train"], saved.get("record", {})
    begun_from = {key: value for key, value in record.get("begun_from", {}).items() if key != "tensors"}
    grown_from = begun_from.pop("grown_from", None)
    mature = "mature" in (begun_from.get("rating"), *(corpus["rating"] for corpus in corpora))
    count, device = record.get("processes", 1), record.get("device", "CPU")
    training = {
        "preset": preset["name"], "steps": saved["step"], "planned_steps": settings["steps"], "tokens": saved["tokens"],
        "seconds": round(saved["seconds"]), "optimizer": settings["optimizer"],
        "schedule": settings.get("schedule", "wsd"),
        "arithmetic": f"{device}{f' x {count}' * (count > 1)}, {ARITHMETIC[settings.get('autocast', 'bf16')]},"
        " stored as float16",
    }  # fmt: skip
    if share := settings.get("final_share"):
        weights = {source["file"]: source.get("final_weight") for source in preset["sources"]}
        training["final_share"] = {"of_steps": share, "weights": {k: v for k, v in weights.items() if v is not None}}
    if saved.get("average") is not None:
        training["weights"] = f"exponential moving average over the steps, {settings['ema']} kept of it at each"
    if "peak_memory_mb" in record:
        training["peak_memory_mb"] = record["peak_memory_mb"]
    told: dict[str, Any] = {"rating": "mature" if mature else "general", "corpora": corpora, "training": training}
    if grown_from is not None:  # a larger model that had learnt nothing yet, made of a trained one
        told["grown_from"] = grown_from
    elif begun_from:
        told["begun_from"] = begun_from
    return told


def describe(source: dict[str, Any]) -> dict[str, Any]:
    """A corpus as the card lists it, from its entry in a manifest.

    One whose file name says `synthetic` is marked as written by a model.
    """
    corpus = {key: source[key] for key in ("file", "licence", "rating", "sha256", "documents", "bytes", "weight")}
    if removed := {what: count for what, count in source.get("removed", {}).items() if count}:
        corpus["removed"] = removed  # twins, and what validation would have asked
    if source.get("children"):
        corpus["children"] = source["children"]
    if source.get("credit"):
        corpus["credit"] = source["credit"]
    if source.get("speakers"):
        corpus["note"] = "speakers are named by their roles, not by their names"
    if "synthetic" in source["file"]:
        corpus["note"] = "synthetic: written by another language model, not by people"
    return corpus


def read_curve(log: Path, last: int) -> dict[str, float]:
    """Bits per byte by step of some of a run's validations up to step `last`, spread evenly, the last one included."""
    rows = [row for row in read_rows(log) if "bits_per_byte" in row and row["step"] <= last]
    apart = max(1, -(-len(rows) // CURVE_POINTS))
    return {str(row["step"]): round(row["bits_per_byte"], 4) for row in rows[::-1][::apart][::-1]}
