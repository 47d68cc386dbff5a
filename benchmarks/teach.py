"""python -m benchmarks.teach --text STORIES [--lessons FILE.jsonl] [--per-channel 20] [--json]: do lessons stick, and
is everything else left alone?

Each lesson is a line {"prompt", "answer", "paraphrase"}. They are taught one after another, so many in each channel,
and then asked, greedily if nothing else is said, with all lessons of their channel attached:

efficacy     share of lessons answered word for word by their prompt
paraphrase   by their paraphrase, which was never trained on
opening      by their prompt behind the opening of an unseen story
sampled      by their prompt as the bot writes: drawn with its settings, penalty and all, behind openings of unseen
             stories, behind its own text, and in long stories with their past, summary and memory vectors; --seeds
             times each. Then for each of the three alone
repeated     share of those replies in which the answer stands once more
intruded     share of drawn replies with an answer that nobody asked for, in unseen stories at the words that open its
             lesson's gate
locality     share of unrelated prompts (openings of other stories) whose greedy 50 tokens stay the same, each asked of
             each channel
score        harmonic mean of efficacy, paraphrase and locality, as in Meng et al. 2022, https://arxiv.org/abs/2202.05262
loss_rise    of bits per byte on held-out stories, in percent, on average over the channels: gated as lessons are by
             default, and always on
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from benchmarks.taught_stories import intruded, sampled
from engine.adapter import join_adapters
from engine.generation import Engine
from engine.lesson import Lesson, TeachParams
from engine.sampling import SamplingParams
from training.corpus import read_documents

OPENING, UNRELATED, HELD_OUT = 20, 40, 24  # stories for each measure
SAME_TOKENS = 50


def main() -> None:
    args = parse()
    given = {f.name: value for f in fields(TeachParams) if (value := getattr(args, f.name)) is not None}
    params = replace(TeachParams(), **given)
    engine = Engine.load(args.weights, threads=args.threads, pack=args.style)
    stories = [text for text in read_documents(args.text) if len(text) > 300]
    rows = [json.loads(line) for line in args.lessons.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = rows[: args.count]
    engine.teach(Lesson("a", "b"), replace(params, max_steps=1))  # what is done once a process is not a lesson's cost
    channels = [rows[i : i + args.per_channel] for i in range(0, len(rows), args.per_channel)]
    done = []
    for number, channel in enumerate(channels, 1):
        done.append(measure(engine, channel, stories, params, args.seeds))
        if not args.json:
            print(f"channel {number} of {len(channels)}: {told(done[-1])}", flush=True)
    figures = total(done, [len(channel) for channel in channels])
    print(json.dumps(figures) if args.json else f"all: {told(figures)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="stories that have nothing to do with the lessons")
    parser.add_argument("--lessons", type=Path, default=Path(__file__).with_name("lessons.jsonl"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--style", type=Path, help="a style pack that is worn while the lessons are asked")
    parser.add_argument("--per-channel", type=int, default=20)
    parser.add_argument("--count", type=int, help="only the first lessons of the file")
    parser.add_argument("--seeds", type=int, default=2, help="times that each lesson is asked with drawn replies")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    for field in fields(TeachParams):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default))
    return parser.parse_args()


def measure(
    engine: Engine, rows: list[dict[str, str]], stories: list[str], params: TeachParams, seeds: int
) -> dict[str, float]:
    """The figures of one channel."""
    lessons = [Lesson(row["prompt"], row["answer"]) for row in rows]
    openings = [cut(text, 200, ".") + ". " for text in stories[:OPENING]]
    unrelated = [cut(text, 60, " ") for text in stories[OPENING : OPENING + UNRELATED]]
    held_out = stories[OPENING + UNRELATED : OPENING + UNRELATED + HELD_OUT]
    taught = [engine.teach(lesson, params) for lesson in lessons]
    adapters = [one.adapter for one in taught]

    def answered(prompts: Sequence[str], always_on: bool = False) -> float:
        right = 0
        for prompt, lesson in zip(prompts, lessons, strict=True):
            asked = Lesson(prompt, lesson.joined[1].strip())
            right += engine.recall(asked, adapters, always_on=always_on).exact
        return right / len(lessons)

    same = SamplingParams(max_new_tokens=SAME_TOKENS, temperature=0, repetition_penalty=1.0)
    kept = [engine.generate(p, same).text == engine.generate(p, same, adapters=adapters).text for p in unrelated]
    base = bits_per_byte(engine, held_out, ())
    rises = {
        name: (bits_per_byte(engine, held_out, adapters, always_on) / base - 1) * 100
        for name, always_on in (("loss_rise_gated", False), ("loss_rise_always_on", True))
    }
    paraphrases = [row.get("paraphrase", row["prompt"].lower()) for row in rows]
    return {
        "efficacy": answered([lesson.prompt for lesson in lessons]),
        "paraphrase": answered(paraphrases),
        "opening": answered([openings[i % OPENING] + row["prompt"] for i, row in enumerate(rows)]),
        **sampled(engine, lessons, adapters, stories[OPENING:], seeds),
        "intruded": intruded(engine, lessons, adapters, stories),
        "always_on": answered([lesson.prompt for lesson in lessons], True),
        "locality": sum(kept) / len(kept),
        **rises,
        "seconds": sum(one.seconds for one in taught),
        "steps": statistics.mean(one.steps for one in taught),
        "bytes": len(join_adapters(adapters, engine.config)),
    }


def total(channels: list[dict[str, float]], sizes: list[int]) -> dict[str, float]:
    """Means over all lessons, and the score."""
    mean = {name: float(np.average([c[name] for c in channels], weights=sizes)) for name in channels[0]}
    parts = [mean["efficacy"], mean["paraphrase"], mean["locality"]]
    figures = {"lessons": sum(sizes), "score": statistics.harmonic_mean(parts) * 100, **mean}
    figures["bytes"] = max(channel["bytes"] for channel in channels)
    figures["seconds_per_lesson"] = sum(channel["seconds"] for channel in channels) / sum(sizes)
    del figures["seconds"]
    return {name: round(value, 4) for name, value in figures.items()}


def told(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


def bits_per_byte(engine: Engine, texts: list[str], adapters: Sequence[bytes], always_on: bool = False) -> float:
    """Of the starts of texts, as far as the context reaches."""
    start = engine.tokenizer.start_of_text
    bits, size = 0.0, 0
    for text in texts:
        ids = ([start] if start is not None else []) + engine.tokenizer.encode(text)
        ids = ids[: engine.config.block_size]
        rows = engine.logits(ids[:-1], adapters=adapters, always_on=always_on).astype(np.float64)  # (T, V)
        rows -= rows.max(-1, keepdims=True)
        picked = rows[np.arange(len(rows)), ids[1:]] - np.log(np.exp(rows).sum(-1))  # (T,)
        bits -= float(picked.sum()) / np.log(2)
        size += len(engine.tokenizer.decode(ids[1:]).encode())
    return bits / size


def cut(text: str, length: int, mark: str) -> str:
    return text[:length].rsplit(mark, 1)[0]


if __name__ == "__main__":
    main()
