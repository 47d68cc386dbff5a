"""A story as a file that a reader can trust: one page, one book, and a text that comes back as it went."""

from __future__ import annotations

import io
import re
import zipfile
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import InputError
from bot.export_epub import epub_book
from bot.export_html import html_page
from bot.exports import FORMS, exported, file_name
from bot.manuscript import MAX_BROUGHT, PART, in_turns, manuscript, markdown
from bot.pages import CONTRAST, DARK, LIGHT, colours, contrast
from memory import Story, Turn, TurnKind

XHTML, OPF = "{http://www.w3.org/1999/xhtml}", "{http://www.idpf.org/2007/opf}"
HOSTILE = '<script>alert("x")</script>&amp;\x07</span></p>]]>{title}$title'


def story(*texts: tuple[TurnKind, int | None, str, str], title: str = "The fox") -> tuple[Story, list[Turn]]:
    """A story of turns: kind, author's id and name, text."""
    turns = [
        Turn(number, 1, None, number, author, name, kind, text, 1_700_000_000.0, number, 0)
        for number, (kind, author, name, text) in enumerate(texts)
    ]
    return Story(1, 5, title, None, 1, 1_700_000_000.0, False, None, len(turns), 0), turns


FOX = story(
    ("premise", 1, "Ann", "A fox ran."),
    ("member", 2, "Ben", "\n\nThe moon rose.\nIt was red."),
    ("model", None, "", " The fox saw it."),
    ("model", 1, "Ann", "\n\nThe end."),
)


class Seen(HTMLParser):
    """What a browser reads: tags with their attributes, and text outside of styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._style = "", False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._style = tag == "style"
        self.text += "\n" * (tag in ("br", "p"))

    def handle_data(self, data: str) -> None:
        self.text += "" if self._style else data


def test_the_page_has_each_writer_in_a_class_of_their_own() -> None:
    seen = Seen(html_page(*FOX, "ember"))
    writers = [attrs["title"] for tag, attrs in seen.tags if tag == "span" and "title" in attrs]
    assert writers == ["Ann", "Ben", "the model ember", "the model ember, changed by Ann"]
    classes = [attrs["class"] for tag, attrs in seen.tags if tag == "span" and "title" in attrs]
    assert len(set(classes)) == 4
    assert "\n\nA fox ran.\n\nThe moon rose.\nIt was red. The fox saw it.\n\nThe end.\n" in seen.text


@pytest.mark.parametrize("title", ["The fox", HOSTILE])
def test_the_page_needs_nothing_else_and_runs_nothing(title: str) -> None:
    page = html_page(*story(("premise", 1, HOSTILE, HOSTILE), ("model", None, "", HOSTILE), title=title), HOSTILE)
    seen = Seen(page)
    assert {tag for tag, _ in seen.tags} <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "ul", "li", "span", "p", "br",
    }  # fmt: skip
    assert not any({"src", "href", "style"} & set(attrs) or any(a.startswith("on") for a in attrs)
                   for _, attrs in seen.tags)  # fmt: skip
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|url\(|@import", page)
    assert seen.text.count(HOSTILE.replace("\x07", "")) >= 2


@given(st.integers(1, 60), st.sampled_from([LIGHT, DARK]))
def test_every_colour_can_be_read_on_its_paper(count: int, paper: tuple[float, float, float]) -> None:
    found = colours(count, paper)
    assert len(set(found)) == count
    for colour in found:
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        assert contrast((red, green, blue), paper) > CONTRAST - 0.1 > 4.5


def test_the_book_is_one_that_readers_open() -> None:
    content = epub_book(*FOX, "ember")
    book = zipfile.ZipFile(io.BytesIO(content))
    first = book.infolist()[0]
    assert (first.filename, first.compress_type, first.extra) == ("mimetype", zipfile.ZIP_STORED, b"")
    assert content[30:58] == b"mimetypeapplication/epub+zip"
    container = ElementTree.fromstring(book.read("META-INF/container.xml"))
    path = next(container.iter("{urn:oasis:names:tc:opendocument:xmlns:container}rootfile")).attrib["full-path"]
    package = ElementTree.fromstring(book.read(path))
    items = {item.attrib["id"]: item.attrib["href"] for item in package.iter(f"{OPF}item")}
    named = {"mimetype", "META-INF/container.xml", path, *(f"book/{href}" for href in items.values())}
    assert {info.filename for info in book.infolist()} == named
    assert [item.attrib["id"] for item in package.iter(f"{OPF}item") if item.attrib.get("properties") == "nav"] == [
        "nav"
    ]
    spine = [items[ref.attrib["idref"]] for ref in package.iter(f"{OPF}itemref")]
    assert spine == ["part1.xhtml"]
    metadata = {element.tag.rpartition("}")[2]: element.text for element in next(package.iter(f"{OPF}metadata"))}
    assert metadata["title"] == "The fox"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["meta"] or "")
    assert package.attrib["unique-identifier"] == "id"
    nav = ElementTree.fromstring(book.read("book/nav.xhtml"))
    assert [link.attrib["href"] for link in nav.iter(f"{XHTML}a")] == spine
    text = "".join(ElementTree.fromstring(book.read("book/part1.xhtml")).itertext())
    assert "The moon rose.It was red. The fox saw it." in text
    assert epub_book(*FOX, "ember") == content


def test_a_long_book_is_in_parts_and_hostile_text_stays_text() -> None:
    long, turns = story(("premise", 1, HOSTILE, "\n\n".join([HOSTILE * 10] * 500)), title=HOSTILE)
    book = zipfile.ZipFile(io.BytesIO(epub_book(long, turns, HOSTILE)))
    parts = [name for name in book.namelist() if name.startswith("book/part")]
    assert len(parts) > 1
    for name in book.namelist():
        if name.endswith((".xhtml", ".opf", ".xml")):
            root = ElementTree.fromstring(book.read(name))
            assert not any(element.tag.endswith("script") for element in root.iter())
    paragraphs = [p for name in parts for p in ElementTree.fromstring(book.read(name)).iter(f"{XHTML}p")]
    texts = ["".join(p.itertext()) for p in paragraphs if p.attrib.get("class") is None]
    assert texts == [(HOSTILE * 10).replace("\x07", "")] * 500


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_any_text_makes_files_that_can_be_read(text: str, name: str, title: str) -> None:
    one, turns = story(("premise", 1, name, text), ("model", None, "", f"{text}\n\n{text}"), title=title)
    for form in FORMS:
        content = exported(one, turns, "ember", form)
        if form == "epub":
            book = zipfile.ZipFile(io.BytesIO(content))
            for file in book.namelist():
                if file.endswith((".xhtml", ".opf")):
                    ElementTree.fromstring(book.read(file))
        else:
            content.decode("utf-8")
    assert re.fullmatch(r"[a-z0-9-]{1,60}\.epub", file_name(one, "epub"))


@given(st.lists(st.sampled_from(["Word ", "It ended. ", "\n\n", "\n", "x" * 700, "日本語。"]), max_size=60))
def test_a_brought_text_is_cut_into_turns_that_are_the_text(pieces: list[str]) -> None:
    text = "".join(pieces).strip()
    turns = in_turns(text)
    assert "".join(turns) == text
    assert all(0 < len(turn) <= PART for turn in turns)


def test_cuts_are_made_where_a_reader_would_pause() -> None:
    paragraphs = in_turns("\n\n".join(["She ran. " * 80] * 5))
    assert all(turn.startswith("\n\n") for turn in paragraphs[1:])
    sentences = in_turns("She ran far away. " * 400)
    assert all(turn.endswith("away.") for turn in sentences[:-1])


def test_a_markdown_export_comes_back() -> None:
    name, text = manuscript(markdown(*FOX, "ember"))
    assert (name, text) == ("The fox", "A fox ran.\n\nThe moon rose.\nIt was red. The fox saw it.\n\nThe end.")
    for bad in ("", "# Title\n\n", "\ufeff \r\n", "x" * (MAX_BROUGHT + 1)):
        with pytest.raises(InputError):
            manuscript(bad)
