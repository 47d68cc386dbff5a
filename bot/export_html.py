"""A story as one HTML page that needs nothing else: each writer in a colour of their own, on light and dark screens."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template

from bot.pages import DARK, LIGHT, Page, colours, marked_up, page_of, printable
from memory import Story, Turn

_PAGE = Template("""<!DOCTYPE html>
<html lang="$language">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>$title</title>
<style>
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1d20; --faint: #5d6268; --rule: #d9dce0; $light }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e8e6e1; --faint: #9aa0a6; --rule: #33383d; $dark }
}
body { background: var(--paper); color: var(--ink); margin: 0; padding: 3rem 1.25rem;
  font: 1.125rem/1.65 Georgia, "Times New Roman", serif; }
main { max-width: 38rem; margin: auto; overflow-wrap: break-word; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 1rem; }
p { margin: 0 0 1em; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; padding: 0 0 1rem; margin: 0 0 2rem;
  border-bottom: 1px solid var(--rule); font: 0.875rem/1.6 system-ui, sans-serif; color: var(--faint); }
li span::before { content: "\\25cf"; margin-right: 0.4em; }
@media print { body { padding: 0; } }
$classes
</style>
</head>
<body>
<main>
<h1>$title</h1>
<ul>$legend</ul>
$text
</main>
</body>
</html>
""")


def html_page(story: Story, turns: Sequence[Turn], model: str, *, language: str = "en") -> str:
    """The whole story, with its writers above it. Everything of members is escaped; nothing is loaded from anywhere.

    Args:
        model: the name of the weights, for what the model wrote.
        language: of the story, as a language tag.
    """
    page = page_of(turns, model)
    return _PAGE.substitute(
        language=escape(language),
        title=escape(printable(story.title)),
        light=_variables(page, LIGHT),
        dark=_variables(page, DARK),
        classes="\n".join(f".w{index} {{ color: var(--w{index}); }}" for index in range(len(page.writers))),
        legend="".join(f'<li><span class="w{i}">{escape(name)}</span></li>'
                       for i, name in enumerate(page.writers)),
        text="\n".join(marked_up(paragraph, page.writers) for paragraph in page.paragraphs),
    )  # fmt: skip


def _variables(page: Page, paper: tuple[float, float, float]) -> str:
    return " ".join(f"--w{index}: {colour};" for index, colour in enumerate(colours(len(page.writers), paper)))
