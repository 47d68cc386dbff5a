"""python -m benchmarks.teach --text STORIES [--lessons FILE.jsonl] [--count 1,5,20] [--json]: does teaching stick, and
does it leave the rest alone?

Each lesson is a line {"prompt", "answer", "paraphrase"}. For every count that many lessons are taught at once, then
asked greedily: by the prompt alone, behind the opening of an unseen story, and by a paraphrase that was never trained.
Locality is the share of unrelated openings whose greedy 40 tokens stay the same, token for token; loss rise is that of
bits per byte on stories of STORIES (a file as in docs/training.md) that have nothing to do with the lessons.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path

import torch

from engine.adapter import unpack_adapter
from engine.checkpoint import load_weights
from engine.generation import Engine
from engine.lesson import Lesson, TeachParams
from engine.model import attach_units
from engine.sampling import SamplingParams
from training.corpus import read_documents
from training.evaluate import bits_per_byte

HELD_OUT, OPENINGS, UNRELATED = slice(100, 140), slice(200, 220), slice(300, 324)  # documents of STORIES
SAME_TOKENS = 40


def greedy(tokens: int) -> SamplingParams:
    return SamplingParams(max_new_tokens=tokens, temperature=0, repetition_penalty=1.0)


def measure(engine: Engine, rows: list[dict[str, str]], stories: list[str], params: TeachParams) -> dict[str, float]:
    lessons = [Lesson(row["prompt"], row["answer"]) for row in rows]
    unrelated = [story[:60].rsplit(" ", 1)[0] for story in stories[UNRELATED]]
    openings = [story[:200].rsplit(".", 1)[0] + ". " for story in stories[OPENINGS]]
    before = [engine.generate(text, greedy(SAME_TOKENS)).text for text in unrelated]
    model = load_weights(engine.info.folder, n_session=engine.config.n_session).model
    base = bits_per_byte(model, engine.tokenizer, stories[HELD_OUT]).bits_per_byte
    taught = engine.teach(lessons, params)

    def answered(prompt: str, lesson: Lesson) -> bool:
        answer = lesson.joined[1].strip()
        tokens = len(engine.tokenizer.encode(lesson.joined[1])) + 2
        return engine.generate(prompt, greedy(tokens), adapter=taught.adapter).text.strip().startswith(answer)

    def share(prompts: list[str]) -> float:
        return round(sum(map(answered, prompts, lessons)) / len(lessons), 3)

    after = [engine.generate(text, greedy(SAME_TOKENS), adapter=taught.adapter).text for text in unrelated]
    figures = {
        "lessons": len(lessons),
        "efficacy": round(taught.recalled / len(lessons), 3),
        "behind_opening": share([openings[i % len(openings)] + row["prompt"] for i, row in enumerate(rows)]),
        "paraphrase": share([row.get("paraphrase", row["prompt"].lower()) for row in rows]),
        "locality": round(sum(a == b for a, b in zip(before, after, strict=True)) / len(before), 3),
    }
    attach_units(model, "session", unpack_adapter(taught.adapter, engine.config, engine.base_id))
    rise = bits_per_byte(model, engine.tokenizer, stories[HELD_OUT]).bits_per_byte / base - 1
    return {
        **figures,
        "loss_rise_percent": round(rise * 100, 2),
        "steps": taught.steps,
        "seconds": round(taught.seconds, 1),
        "seconds_per_lesson": round(taught.seconds / len(lessons), 2),
        "bytes": len(taught.adapter),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--lessons", type=Path, default=Path(__file__).with_name("lessons.jsonl"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--count", default="1,5,20")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    for field in fields(TeachParams):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)  # of the measure of the rise; the engine has its own
    given = {f.name: value for f in fields(TeachParams) if (value := getattr(args, f.name)) is not None}
    params = replace(TeachParams(), **given)
    engine, stories = Engine.load(args.weights, threads=args.threads), list(read_documents(args.text))
    rows = [json.loads(line) for line in args.lessons.read_text(encoding="utf-8").splitlines() if line.strip()]
    engine.teach([Lesson("a", "b")], TeachParams(max_steps=1))  # what is done once a process is not a lesson's cost
    for count in map(int, args.count.split(",")):
        figures = measure(engine, rows[:count], stories, params)
        print(json.dumps(figures) if args.json else "  ".join(f"{k} {v}" for k, v in figures.items()), flush=True)


if __name__ == "__main__":
    main()
