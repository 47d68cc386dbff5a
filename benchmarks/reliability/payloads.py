"""python -m benchmarks.reliability.payloads [--texts 1000000] [--seed 1] [--json]

Generated texts, hostile and long, as a member's words, as the model's reply, and as a name, in the messages that the
bot sends: none may mention anybody, hold a live link or invite, markdown or a code fence, or be too long, as
`discord_client.py` judges it, which knows nothing of `bot/output.py`.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator

from benchmarks.reliability.command_line import parser
from benchmarks.reliability.discord_client import LIMIT, live, units
from bot.output import harmless, label, line, quote, split, story_messages

FRAGMENTS = (
    "@everyone", "@here", "<@123456789012345678>", "<@!1234>", "<@&99>", "<#12>", "</story start:123>",
    "<:fox:123>", "<a:fox:123>", "<t:1700000000:R>", "<id:customize>", "https://a.example/x",
    "HTTP://X.EXAMPLE", "hTTps:/", "/a.example", "<https://a.example>", "discord.gg/abc",
    "DISCORD.COM/invite/abc", "discordapp.com/invite/x", "discord .gg/x", "dsc.gg/x", "discord://-/channels",
    "[click](https://a.example)", "[click] (x)", "[a]: https://b.example", "](", "] (", "<mailto:a@b.example>",
    "<tel:+1>", "```py\nx\n```", "```", "``", "`", "**b**", "***", "__u__", "_i_", "~~s~~", "||sp||", "> ",
    ">>> ", ">", "# ", "## ", "### ", "-# ", "- ", "* ", "+ ", "1. ", "\\", "\\\\", "\\@", "\\<", "\n", "\n\n",
    "\r\n", " ", "\t", "\u200b", "\u200d", "\u200c", "\ufeff", "\u202e", "\u2066", "\u00ad", "\x00", "\x1b[31m",
    "\u2028", "\u2029", "\ud800", "\udc00", "👩‍👩‍👧", "🇩🇪", "🏴\U000e0067\U000e0062\U000e007f", "👍🏽", "e\u0301",
    "ß", "語", "\uff20everyone", "@", "<", ">", "[", "]", "(", ")", ":", "/", "//", ".", "gg", "gg/", "discord",
    "app", "everyone", "here", "http", "https", "!", "&", "#", "123", "The fox ran. ", "Mira said: “No!” ",
    "and then ", "nothing", "a", "x",
)  # fmt: skip
FRAME = re.compile(r"> \*\*.*\*\*$")  # the line with a member's name, which is the bot's own
LONG = 50  # one text in so many is some thousand characters long


def texts(count: int, seed: int) -> Iterator[str]:
    draw = random.Random(seed)
    for _ in range(count):
        count = draw.randint(200, 900) if draw.randrange(LONG) == 0 else draw.randint(1, 14)
        yield "".join(draw.choices(FRAGMENTS, k=count))


def sent(text: str, other: str) -> Iterator[tuple[str, int]]:
    """What is sent of a text, each with its limit: of its own, as a reply behind a quote, as the quote, as a name."""
    for part in split(harmless(text)):
        yield part, LIMIT
    for message in story_messages(quote(other[:40], text), other):
        yield message, LIMIT
        yield "\n".join(each.removeprefix("> ") for each in message.split("\n") if not FRAME.match(each)), LIMIT
    yield line(text), 100


def judge(text: str, other: str) -> list[str]:
    """What is wrong with what is sent of a text."""
    wrong = []
    for message, limit in sent(text, other):
        if not 0 < units(message) <= limit and message:
            wrong.append("length")
        framed = message.startswith("> **")  # the bot's own frame, which is judged without itself
        wrong += [kind for kind in live(message) if not (framed and kind in ("markdown", "block"))]
    if units(label(text)) > 100 or "\n" in label(text):
        wrong.append("label")
    return wrong


def measure(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How many texts went wrong by kind, and some of them."""
    wrong: Counter[str] = Counter()
    examples: list[str] = []
    before = ""
    for text in texts(count, seed):
        if kinds := judge(text, before):
            wrong.update(set(kinds))
            examples.append(text)
            del examples[5:]
        before = text
    return wrong, examples


def main() -> None:
    given = parser(__doc__, texts=1_000_000, seed=1).parse_args()
    wrong, examples = measure(given.texts, given.seed)
    if given.json:
        print(json.dumps({"texts": given.texts, "wrong": wrong, "examples": examples}))
        return
    print(f"{given.texts:,} texts: {sum(wrong.values())} with anything live or too long {dict(wrong) or ''}".rstrip())
    for text in examples:
        print(f"  {text[:200]!a}")


if __name__ == "__main__":
    main()
