"""A story as a file: in which forms, and under what name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, get_args

from bot.export_epub import epub_book
from bot.export_html import html_page
from bot.manuscript import markdown
from memory import Story, Turn

Form = Literal["markdown", "html", "epub"]
FORMS: tuple[Form, ...] = get_args(Form)
ENDINGS: dict[Form, str] = {"markdown": ".md", "html": ".html", "epub": ".epub"}


def exported(story: Story, turns: Sequence[Turn], model: str, form: Form) -> bytes:
    """The whole story in that form. `model` is the name of the weights."""
    if form == "epub":
        return epub_book(story, turns, model)
    return (html_page if form == "html" else markdown)(story, turns, model).encode("utf-8", "replace")


def file_name(story: Story, form: Form) -> str:
    """The title in letters that every disk takes, or "story"."""
    plain = unicodedata.normalize("NFKD", story.title).encode("ascii", "ignore").decode().lower()
    return (re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "story") + ENDINGS[form]
