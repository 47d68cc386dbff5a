"""python -m benchmarks.note [--weights FOLDER] [--seeds 20] [--json]: does a note steer, and from how far?

Continues one story under notes that each name a thing the story does not have, and counts the replies that name it:
without a note, with the note as a pin, and with the note so many lines before the end of the text.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from engine import Context, Engine, SamplingParams

STORY = (
    "Once upon a time, a fox named Mira found a key in the snow. She was very happy. She ran home to show it to her"
    " mother. Her mother looked at the key and smiled. They went outside together."
)
NOTES = {
    "dragon": "A big dragon lives near the house.",
    "rain": "It is raining hard, and the rain is cold.",
    "ball": "Mira is looking for her lost ball.",
    "Tom": "Tom the bear wants to play.",
    "boat": "There is a boat on the lake.",
    "cake": "The cake on the table is red.",
}
WAYS: dict[str, Callable[[str], Context]] = {
    "no note": lambda note: Context(text=STORY),
    "as a pin": lambda note: Context(pins=(note,), text=STORY),
    **{f"depth {depth}": lambda note, depth=depth: Context(text=STORY, note=note, note_depth=depth)  # type: ignore[misc]
       for depth in (1, 2, 3, 5, 8)},
    "depth 2, in brackets": lambda note: Context(text=STORY, note=f"[Note: {note}]", note_depth=2),
}  # fmt: skip


def measure(engine: Engine, seeds: int) -> dict[str, int]:
    """Of `seeds` replies to each note, how many name its thing."""
    named = dict.fromkeys(WAYS, 0)
    for seed in range(seeds):
        sampling = SamplingParams(max_new_tokens=80, min_new_tokens=8, stop_at_sentence=True, seed=seed)
        for thing, note in NOTES.items():
            for way, context in WAYS.items():
                engine.forget()  # what one way had read is nothing to the next
                named[way] += thing.lower() in engine.generate(context(note), sampling).text.lower()
    return named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="a weights folder; default: the bundled one")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    named, replies = measure(Engine.load(given.weights, threads=1), given.seeds), given.seeds * len(NOTES)
    if given.json:
        print(json.dumps({"replies": replies, "named": named}))
        return
    for way, count in named.items():
        print(f"{way:<22} {count:>4} of {replies} replies name what the note names")


if __name__ == "__main__":
    main()
