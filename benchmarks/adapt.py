"""python -m benchmarks.adapt --corpus STYLE --text STORIES [--method units,lora] [--lr 3e-3] [--kl-weight 0.3] [--json]

What a style gains on its own text and costs on other stories, by the parallel units of a style pack and by LoRA, with
as many trained weights, on the same windows, over as many steps. `lora` changes the attention matrices, `lora-ffn`
those of the feed-forward layers, `lora-all` both. Every combination of the lists is trained; bits per byte are of the
weights as stored, on held-out text of the style and on the beginning of STORIES. Seconds are of the CPU, measuring
included; bytes are of what is to be passed on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from engine.folder import default_weights
from training.adapt import AdaptOptions, adapt
from training.lora import ATTENTION, FEED_FORWARD

MATRICES = {"units": (), "lora": ATTENTION, "lora-ffn": FEED_FORWARD, "lora-all": ATTENTION + FEED_FORWARD}


def measure(options: AdaptOptions) -> dict[str, float]:
    """Train once, into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "style.safetensors"
        began = time.process_time()  # whatever else the machine does, the work is the same
        about = adapt(replace(options, out=out))
        seconds = time.process_time() - began
        size = (out if out.is_file() else out / "model.safetensors").stat().st_size
    style, stories = about["bits_per_byte"]["held_out"], about["bits_per_byte"]["stories"]
    return {
        "weights": about["training"]["weights"], "steps": options.steps, "style_before": style["before"],
        "style_after": style["after"], "stories_before": stories["before"], "stories_after": stories["after"],
        "stories_rise_percent": round((stories["after"] / stories["before"] - 1) * 100, 2),
        "cpu_seconds": round(seconds, 1), "bytes": size,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=default_weights())
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--method", default="units,lora", help=", ".join(MATRICES))
    parser.add_argument("--lr", default=str(AdaptOptions.lr))
    parser.add_argument("--kl-weight", default=str(AdaptOptions.kl_weight))
    parser.add_argument("--steps", type=int, default=AdaptOptions.steps)
    parser.add_argument("--units", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    options = AdaptOptions(
        args.base, args.corpus, Path(), "not passed on", "general", units=args.units, steps=args.steps, text=args.text,
        threads=args.threads,
    )  # fmt: skip
    for method, lr, kl_weight in itertools.product(*(x.split(",") for x in (args.method, args.lr, args.kl_weight))):
        figures = measure(
            replace(
                options, method="units" if method == "units" else "lora", lr=float(lr), kl_weight=float(kl_weight),
                lora_names=MATRICES[method],
            )
        )  # fmt: skip
        row = {"method": method, "lr": float(lr), "kl_weight": float(kl_weight), **figures}
        print(json.dumps(row) if args.json else "  ".join(f"{k} {v}" for k, v in row.items()), flush=True)


if __name__ == "__main__":
    main()
