"""python -m benchmarks.forgetting [--weights A] [--other B] [--prompts 1000] [--json]: is what is forgotten gone, and
does what was learnt survive a change of weights?

Two channels are taught through the session that the bot uses. Then, each a share of what was looked at:

forgotten    lessons left behind a forgotten one, and behind a forgotten member, whose bytes are those of a channel
             that was never taught what was forgotten
other        prompts whose greedy 12 tokens in the second channel stay the same through all that happens in the first
swapped      lessons that are answered word for word by the other weights, which learnt them anew behind the replies
swapped_back lessons whose bytes are the first ones again with the first weights
reset        prompts whose logits are the base's, bit for bit, after the channel was reset
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.long_channel import Silence
from bot.services import Services
from bot.session import ChannelSession
from config.settings import Settings
from engine import Context, Engine, Lesson, SamplingParams, default_weights
from memory import Author

ADA, BEN = Author(1, "Ada"), Author(2, "Ben")
ONE, OTHER = 1, 2  # channels
STORY, PLAIN, WORDS = "One day they met in the market and talked.", "They went home. Then", 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=default_weights())
    parser.add_argument("--other", type=Path, help="weights to change to; those bundled beside the default if left out")
    parser.add_argument("--lessons", type=Path, default=Path(__file__).with_name("lessons.jsonl"))
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    beside = [folder for folder in sorted(default_weights().parent.iterdir()) if folder != args.weights.resolve()]
    rows = [json.loads(line) for line in args.lessons.read_text(encoding="utf-8").splitlines() if line.strip()]
    lessons = [Lesson(row["prompt"], row["answer"]) for row in rows]
    figures = asyncio.run(measure(args.weights.resolve(), args.other or beside[0], lessons, args.prompts))
    told = (f"{name:13} {value}" for name, value in figures.items())
    print(json.dumps(figures) if args.json else "\n".join(told))


async def measure(weights: Path, other: Path, lessons: list[Lesson], prompts: int) -> dict[str, float]:
    mine, yours = lessons[:8], lessons[20:24]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), weights=weights)
        async with await Services.open(settings) as services:
            channel, second = services.session(ONE), services.session(OTHER)
            await taught(channel, mine[:4], ADA)
            await taught(channel, mine[4:], BEN)
            await taught(second, yours, BEN)
            first, base_id = await units(services, ONE), services.worker.engine_info.base_id
            before = await answers(services, [lesson.prompt for lesson in yours])

            await channel.forget((await channel.lessons())[0].id, ADA)
            left = await units(services, ONE)
            kept = [blob == first[text] for text, blob in left.items()]
            await channel.forget_member(BEN.id, ADA)
            left = await units(services, ONE)
            kept += [blob == first[text] for text, blob in left.items()] + [len(left) == 3]

            await swap(services, other)
            for session in (channel, second):  # a reply finds that the lessons are not learnt yet
                if await session.story() is None:
                    await session.start("A story", STORY, ADA)
                await session.write(PLAIN, ADA, Silence())
            await services.idle()
            asked = [recall.exact for _, recall in await second.test_lessons(Silence())]
            await swap(services, weights)
            assert services.worker.engine_info.base_id == base_id
            back = [blob == first[text] for text, blob in (await units(services, ONE)).items()]

            await channel.reset(ADA)
            after = await answers(services, [lesson.prompt for lesson in yours])
            gone = await units(services, ONE)
    same = untouched(weights, list(gone.values()), prompts)
    return {
        "forgotten": share(kept),
        "other": share([a == b for a, b in zip(before, after, strict=True)]),
        "swapped": share(asked),
        "swapped_back": share(back),
        "reset": same,
    }


async def taught(session: ChannelSession, lessons: list[Lesson], author: Author) -> None:
    for lesson in lessons:
        await session.teach(lesson.prompt, lesson.answer, author, Silence())


async def units(services: Services, channel: int) -> dict[str, bytes]:
    """What the present weights have learnt in a channel, by prompt."""
    rows = {row.id: row.prompt for row in await services.store.lessons(channel)}
    found = await services.store.units(channel, services.worker.engine_info.base_id)
    return {rows[lesson]: blob for lesson, blob in found.items()}


async def answers(services: Services, prompts: list[str]) -> list[str]:
    """What the second channel's model says to these, and to text that has nothing to do with its lessons."""
    blobs = list((await units(services, OTHER)).values())
    greedy = SamplingParams(max_new_tokens=WORDS, temperature=0, repetition_penalty=1.0)
    texts = [*prompts, PLAIN, STORY]
    jobs = [services.worker.generate(Context(text=text), greedy, adapters=blobs) for text in texts]
    return [(await job.result()).text for job in jobs]


async def swap(services: Services, folder: Path) -> None:
    await services.worker.swap(folder).result()


def untouched(weights: Path, adapters: list[bytes], prompts: int) -> float:
    """Share of random prompts that an engine, which had lessons before, reads as one that never had any."""
    used, fresh, rng = Engine.load(weights), Engine.load(weights), random.Random(0)
    blob = used.teach(Lesson("The fox is called", "Mira.")).adapter
    used.generate("The fox is called", SamplingParams(max_new_tokens=4), adapters=[blob])
    same = []
    for _ in range(prompts):
        ids = [rng.randrange(used.config.vocab_size) for _ in range(rng.randrange(1, 24))]
        same.append(bool(np.array_equal(used.logits(ids, adapters=adapters), fresh.logits(ids))))
    return share(same)


def share(held: list[bool]) -> float:
    return round(sum(held) / len(held), 4) if held else 0.0


if __name__ == "__main__":
    main()
