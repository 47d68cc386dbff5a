"""A story as an EPUB 3 book (https://www.w3.org/TR/epub-33/), made with the standard library alone."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from itertools import chain
from uuid import NAMESPACE_URL, uuid5

from bot.pages import LIGHT, Piece, colours, marked_up, page_of, printable
from memory import Story, Turn

PART = 100_000  # characters of a file in the book: readers are slow with larger ones
_STYLE = """body {{ line-height: 1.5; }}
h1 {{ text-align: center; margin: 2em 0 1em; }}
p {{ margin: 0 0 0.75em; }}
.writers {{ text-align: center; font-size: 0.85em; }}
{classes}
"""
_CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="book/book.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""
_DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" xml:lang="{language}" \
lang="{language}">
<head><title>{title}</title><link rel="stylesheet" type="text/css" href="style.css"/></head>
<body>{body}</body>
</html>
"""
_PACKAGE = """<?xml version="1.0" encoding="UTF-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="{language}">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:uuid:{id}</dc:identifier>
<dc:title>{title}</dc:title>
<dc:language>{language}</dc:language>
{creators}
<meta property="dcterms:modified">{modified}</meta>
</metadata>
<manifest>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="style" href="style.css" media-type="text/css"/>
{items}
</manifest>
<spine>
{spine}
</spine>
</package>
"""


def epub_book(story: Story, turns: Sequence[Turn], model: str, *, language: str = "en") -> bytes:
    """The whole story as the bytes of a book; the same story gives the same bytes."""
    page, title, language = page_of(turns, model), escape(printable(story.title)), escape(language)
    shades = enumerate(colours(len(page.writers), LIGHT))
    style = _STYLE.format(classes="\n".join(f".w{index} {{ color: {colour}; }}" for index, colour in shades))
    parts = _parts(page.paragraphs) or [[]]
    modified = datetime.fromtimestamp(turns[-1].created_at if turns else story.created_at, UTC)
    names = [f"part{number}" for number in range(1, len(parts) + 1)]
    writers = [escape(name) for name in page.writers]
    head = f'<h1>{title}</h1><p class="writers">' + ", ".join(
        f'<span class="w{index}">{name}</span>' for index, name in enumerate(writers)
    ) + "</p>"  # fmt: skip
    package = _PACKAGE.format(
        id=uuid5(NAMESPACE_URL, f"miniature-memory:{story.channel}:{story.id}"),
        title=title,
        language=language,
        creators="\n".join(f"<dc:creator>{name}</dc:creator>" for name in writers),
        modified=modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
        items="\n".join(
            f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>' for name in names
        ),
        spine="\n".join(f'<itemref idref="{name}"/>' for name in names),
    )
    entries = "".join(
        f'<li><a href="{name}.xhtml">{title if number == 1 else f"Part {number}"}</a></li>'
        for number, name in enumerate(names, start=1)
    )
    nav = f'<nav epub:type="toc"><h1>Contents</h1><ol>{entries}</ol></nav>'
    files = {
        "META-INF/container.xml": _CONTAINER,
        "book/book.opf": package,
        "book/nav.xhtml": _DOCUMENT.format(language=language, title=title, body=nav),
        "book/style.css": style,
    }
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        text = "\n".join(marked_up(paragraph, page.writers) for paragraph in part)
        body = (head if number == 0 else "") + text
        files[f"book/{name}.xhtml"] = _DOCUMENT.format(language=language, title=title, body=body)
    return _packed(files)


def _parts(paragraphs: Sequence[list[Piece]]) -> list[list[list[Piece]]]:
    """Paragraphs by the files of the book."""
    parts: list[list[list[Piece]]] = []
    room = 0
    for paragraph in paragraphs:
        size = sum(len(piece.text) for piece in paragraph)
        if size > room:
            parts.append([])
            room = PART
        parts[-1].append(paragraph)
        room -= size
    return parts


def _packed(files: dict[str, str]) -> bytes:
    """The container: first of all, and not compressed, what kind of file it is."""
    book = io.BytesIO()
    with zipfile.ZipFile(book, "w") as archive:
        kinds = chain([("mimetype", "application/epub+zip", zipfile.ZIP_STORED)],
                      ((name, text, zipfile.ZIP_DEFLATED) for name, text in files.items()))  # fmt: skip
        for name, text, method in kinds:
            info = zipfile.ZipInfo(name)  # of 1980, so that the same story gives the same bytes
            info.compress_type = method
            archive.writestr(info, text.encode())
    return book.getvalue()
