"""python -m benchmarks.session_picture --out session.html [--weights DIR]: the session that README shows.

Runs the real bot, `python -m bot`, against the loopback Discord of the tests, lets two members write, teach and turn
tries over, and writes the channel's messages, word for word as the bot sent them, into one page. The look is our own.
The picture: chromium --headless --window-size=900,860 --screenshot=docs/session.png session.html
"""

from __future__ import annotations

import argparse
import asyncio
import html
import re
import tempfile
from pathlib import Path

from engine.folder import default_weights
from tests.discord_server import BotProcess, DiscordServer, Member, Message
from tests.discord_server.reading import filled, reported

TITLE, PREMISE = "The silver key", "Once upon a time, a fox named Mira found a silver key in the snow."
PROMPT, ANSWER = "The dragon behind the door is called", "Zorblax the Quiet."
ADDED = f"Slowly, the door opened. {PROMPT}"
COLOURS = {"Ada": "#e0a458", "Ben": "#7fb4d8"}
BOTS = "#9fce9f"

STYLE = """
body { margin: 0; background: #23252b; color: #dcdee3; font: 15px/1.45 "DejaVu Sans", sans-serif; }
header { padding: 14px 24px; border-bottom: 1px solid #33363e; color: #aeb2bb; }
main { padding: 8px 24px 20px; }
article { display: grid; grid-template-columns: 44px 1fr; gap: 0 14px; margin-top: 16px; }
.face { width: 40px; height: 40px; border-radius: 50%; color: #23252b; font-weight: bold;
  display: grid; place-items: center; }
.name { font-weight: bold; } .small { color: #9498a2; font-size: 12.5px; }
blockquote { margin: 4px 0; padding-left: 10px; border-left: 3px solid #50545e; color: #c3c6cd; }
p { margin: 4px 0; }
.buttons span { display: inline-block; margin: 6px 6px 0 0; padding: 4px 14px; border-radius: 4px; background: #3d4049;
  font-size: 13.5px; }
.aside { background: #2b2d35; border-radius: 6px; padding: 6px 12px; }
"""


async def told(server: DiscordServer, after: Message | None) -> Message:
    """The channel's next finished reply: its buttons are there."""

    def look() -> Message | None:
        last = server.channel.last_message
        done = last is not None and last is not after and [b["label"] for b in last.buttons][:1] == ["Continue"]
        return last if done else None

    message = await server.wait_for(look, None, "a finished reply")
    assert message is not None
    return message


async def play(server: DiscordServer) -> list[str]:
    """What was done and what came of it, as parts of the page."""
    owner, ada, ben = server.guild.members[server.owner.id], *map(server.guild.add_member, COLOURS)
    parts: list[str] = []

    def show(who: Member | None, call: str, *messages: Message) -> None:
        if who is not None:
            parts.append(
                f'<p class="small" style="margin-top:16px">{who.user.name} used <b>{html.escape(call)}</b></p>'
            )
        parts.extend(map(bubble, messages))

    ada.command("story start", title=TITLE, premise=PREMISE)
    begun = await told(server, None)
    ben.command("story continue")
    first = await told(server, begun)
    teachers = server.guild.add_role("teachers")
    await owner.command("teach switch", state="on").answer()
    await owner.command("access set", role="teacher", discord_role=teachers).answer()
    ben.add_role(teachers)
    modal = await ben.command("teach add").modal()
    learnt = await reported(ben.submit(modal, filled(modal, PROMPT, ANSWER, True)), r"Learnt in [\d.]+ s.*")
    ada.command("story add", text=ADDED)
    second = await told(server, first)
    show(ada, "/story start", begun)
    show(ben, "/story continue", first)
    show(ben, f"/teach add: “{PROMPT} …” “{ANSWER}”", learnt)
    show(ada, "/story add", second)
    return parts


def bubble(message: Message) -> str:
    """One message; what only the asker sees is set off."""
    body = "".join(block(lines) for lines in paragraphs(message.content))
    buttons = "".join(f"<span>{html.escape(button.get('label') or '')}</span>" for button in message.buttons)
    if message.ephemeral:
        body = f'<div class="aside">{body}<p class="small">Only you can see this</p></div>'
    return (
        f'<article><div class="face" style="background:{BOTS}">m</div><div>'
        f'<span class="name" style="color:{BOTS}">miniature-memory</span>{body}'
        f'<div class="buttons">{buttons}</div></div></article>'
    )


def paragraphs(content: str) -> list[list[str]]:
    """Lines, those of one quotation together."""
    groups: list[list[str]] = []
    for line in content.split("\n"):
        if groups and line.startswith("> ") and groups[-1][0].startswith("> "):
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def block(lines: list[str]) -> str:
    """Markdown of the few kinds that the bot sends."""
    text = "<br>".join(marked(line.removeprefix("> ").removeprefix("-# ")) for line in lines)
    if lines[0].startswith("> "):
        return f"<blockquote>{text}</blockquote>"
    return f'<p class="small">{text}</p>' if lines[0].startswith("-# ") else f"<p>{text}</p>"


def marked(line: str) -> str:
    plain = html.escape(re.sub(r"\\([*_~`|>#.\-\[\]()])", r"\1", line))
    bold = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", plain)
    for name, colour in COLOURS.items():
        bold = bold.replace(f"<b>{name}</b>", f'<b style="color:{colour}">{name}</b>')
    return bold


async def record(weights: Path) -> str:
    """The page of one session."""
    with tempfile.TemporaryDirectory() as folder:
        async with DiscordServer(timeout=120) as server:
            env = {"MINIATURE_DATA_DIR": folder, "MINIATURE_WEIGHTS": str(weights), "MINIATURE_MAX_NEW_TOKENS": "70"}
            async with BotProcess(server, env=env, cwd=Path(folder)) as bot:
                await bot.wait_ready()
                parts = await play(server)
                await bot.terminate()
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>A session</title><style>{STYLE}</style>"
        f"<header># stories</header><main>{''.join(parts)}</main></html>"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="default: the bundled ones")
    args = parser.parse_args()
    args.out.write_text(asyncio.run(record(args.weights or default_weights())), encoding="utf-8")


if __name__ == "__main__":
    main()
