"""python -m benchmarks.transcript [--weights DIR] [--exchanges 14] [--seed 1]: a long story, and its memory.

Members' sentences and the model's replies in turns, until most of the story has left the window; then what is
remembered, and how the last reply comes out with that memory and without it. Prints Markdown, for docs/memory.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from engine import Context, Engine, SamplingParams, Summary
from engine.prompt import render_window
from engine.summary import summarize
from engine.worker import CHARS_PER_TOKEN, SUMMARY_SHARE

OPENING = (
    "Once upon a time, a fox named Zilpa lived in a mill by the river with her friend Bodo, a very old badger."
    " One morning Bodo gave Zilpa a silver bell. \"Ring it when you are lost,\" said Bodo, \"and I will come.\""
)  # fmt: skip
MEMBERS = (
    "Zilpa put the silver bell in her bag and walked into the forest. The trees were tall, and it was very quiet.",
    "In the forest she met a girl named Oona. Oona was looking for her red kite, which the wind had taken away.",
    "So they looked for the kite together. They looked under the bushes, and they looked behind the big stones.",
    "When night came, it began to rain. They found a cave, made a fire, and told each other stories until they slept.",
    "In the morning the sun was out again. They walked along a road and came to a village, where it was market day.",
    "A baker stood behind a table full of bread and cakes. It smelled so good that their bellies began to rumble.",
    "But they had no money. The baker looked at them for a while, and then he asked them to carry water for him.",
    "They carried water all morning. Then the baker gave each of them a warm cake and wished them a good journey.",
    "Behind the village the road went up a hill. From the top of it they could see the blue sea, far away.",
    "They ran down to the beach. There lay an old boat, and in the boat a sailor was mending his net.",
    "The sailor had seen a red kite that morning. It had flown over the water, to the island where nobody lived.",
    "He let them have his boat. Oona took one oar, and the fox took the other, and they began to row.",
    "The waves grew higher and higher. The wind blew from the north, and there was fog all around them.",
    "At last they reached the island. The kite hung in a tree, but now it was dark, and the boat had drifted away.",
)
LAST = "They were lost. Then the fox thought of what her old friend had said, so long ago. She took out the silver"
ASKED = "bell"
TOKENS, LAST_TOKENS, DRAWN = 40, 24, 20  # of a reply, of the last, and how often that is drawn
SUMMARIZED_SHARE = 0.5  # of the window: text that lies further back is summarised


def visible(engine: Engine, story: str, room: int) -> str:
    """The end of a story that so many positions show."""
    return story[render_window(engine.tokenizer, Context(text=story), room).left :]


def reply(engine: Engine, context: Context, seed: int, tokens: int = TOKENS) -> str:
    sampling = SamplingParams(max_new_tokens=tokens, seed=seed, stop_at_sentence=True, min_new_tokens=tokens // 4)
    return " ".join(engine.generate(context, sampling).text.split())


def tell(engine: Engine, exchanges: int, seed: int) -> str:
    """The whole of it as Markdown."""
    block = engine.config.block_size
    max_chars = int(block * SUMMARY_SHARE * CHARS_PER_TOKEN)
    story, summary, covered, lines = OPENING, Summary(), 0, [f"> *{OPENING}*"]
    for n, sentence in enumerate([*MEMBERS[:exchanges], LAST]):
        told = f"{story} {sentence}"
        context = Context(summary=summary, text=told)
        if sentence == LAST:
            near = visible(engine, told, block - LAST_TOKENS)
            lines += ["", "What the window still shows of this:", "", f"> ... {near.strip()}", "", "The summary:", ""]
            lines += ["```", *summary.lines(), "```", ""]
            for label, given in (("without the memory", Context(text=near)), ("with it", context)):
                drawn = [reply(engine, given, seed + i, LAST_TOKENS) for i in range(DRAWN)]
                right = [text for text in drawn if text.startswith(ASKED)]
                other = [text for text in drawn if not text.startswith(ASKED)]
                lines += [f'The last reply {label}, drawn {DRAWN} times, begins with "{ASKED}" {len(right)} times:', ""]
                lines += [f"> {LAST} **{text}**\n" for text in right[:1] + other[:1]]
            break
        written = reply(engine, context, seed + n).strip()
        lines += [">", f"> *{sentence}* {written}"]
        story = f"{told} {written}"
        left = len(story) - len(visible(engine, story, int(block * SUMMARIZED_SHARE)))
        if left > covered:
            summary, covered = summarize(story[covered:left], summary, max_chars), left
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--exchanges", type=int, default=len(MEMBERS))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(tell(Engine.load(args.weights, threads=1), args.exchanges, args.seed))


if __name__ == "__main__":
    main()
