"""Text to token ids and back, from a `tokenizer.json` in the format of the `tokenizers` library.

Three control tokens part documents and memory from story. Text that a person typed can never contain them: `encode`
reads the characters `<|endoftext|>` as ordinary text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tokenizers
import tokenizers.models

from engine.errors import TokenizerError, shown
from engine.plain_files import read_plain
from engine.strict_json import parse_object
from engine.tokenizer_file import MAX_BYTES, check_tokenizer

END_OF_TEXT = "<|endoftext|>"  # stands before every document, and so also ends the one before it
MEMORY = "<|memory|>"  # what follows, up to STORY, is pins and summary, not story
STORY = "<|story|>"
CONTROL_TOKENS = (END_OF_TEXT, MEMORY, STORY)
UNKNOWN = "<|unknown|>"  # only character tokenizers need it; a hybrid's alphabet is all bytes

WORD_MARKS = "\u0120\u2581"  # how a space is written in the names of byte-level and of SentencePiece tokens
# UTF-8 needs at most four bytes for a character, so a decoder never has to hold back more tokens than three.
MAX_HELD_BACK = 3


class Tokenizer:
    """Encodes text losslessly where the vocabulary holds all bytes (hybrid), character by character where it does not.

    Args:
        begin, end: ids that begin and end a document in a foreign vocabulary, which has no end-of-text token of ours.

    Attributes:
        control: ids of our control tokens by name, None where a foreign vocabulary lacks one.
        end_of_text: the id that a model writes when a document is over; None if it knows of none.
        start_of_text: the id that stands before every document; with our tokens the same.

    Raises:
        TokenizerError: the file is missing or is not a tokenizer.
    """

    def __init__(self, inner: tokenizers.Tokenizer, *, begin: int | None = None, end: int | None = None) -> None:
        inner.encode_special_tokens = True  # control tokens in the text are text
        inner.no_truncation()  # some foreign files would cut a story or fill it up, and say nothing
        inner.no_padding()
        # The library remembers how it cut a word, and never gives that memory back: 5 MB with each change of weights.
        # Without it a text takes a tenth to a half longer, half a millisecond for a full window.
        if (resize := getattr(inner.model, "_resize_cache", None)) is not None:
            resize(0)
        self._inner = inner
        self.vocab_size: int = max(inner.get_vocab().values(), default=-1) + 1  # foreign ones may leave ids out
        self.control: dict[str, int | None] = {name: inner.token_to_id(name) for name in CONTROL_TOKENS}
        ours = self.control[END_OF_TEXT]
        self.end_of_text: int | None = ours if ours is not None else end
        self.start_of_text: int | None = ours if ours is not None else begin

    @classmethod
    def load(cls, folder: Path, *, begin: int | None = None, end: int | None = None) -> Tokenizer:
        path = folder / "tokenizer.json"
        try:
            content = read_plain(path, MAX_BYTES)
            raw = parse_object(content)
            check_tokenizer(raw)
        except FileNotFoundError as error:
            raise TokenizerError(f"{path} is missing; a weights folder needs its tokenizer.json.") from error
        except OSError as error:
            raise TokenizerError(f"{path} cannot be read ({error.strerror}); copy the file itself there.") from error
        except ValueError as error:
            raise TokenizerError(f"{path} is not a readable tokenizer ({error}); copy the folder again.") from error
        try:
            inner = tokenizers.Tokenizer.from_str(content.decode())
        except Exception as error:  # the library raises bare Exception
            raise TokenizerError(
                f"{path} is not a readable tokenizer ({shown(error)}); copy the folder again."
            ) from error
        added = {token["content"]: token["id"] for token in raw.get("added_tokens", ())}
        if any(inner.token_to_id(content) != number for content, number in added.items()):
            raise TokenizerError(f"{path}: an added token gets another number than it says; copy the folder again.")
        return cls(inner, begin=begin, end=end)

    def save(self, folder: Path) -> None:
        self._inner.save(str(folder / "tokenizer.json"))

    def token_id(self, token: str) -> int | None:
        """The id of a token by its name, None if the vocabulary has none such."""
        found: int | None = self._inner.token_to_id(token)
        return found

    def token_name(self, token: int | None) -> str | None:
        """The name of a token by its id."""
        name: str | None = None if token is None else self._inner.id_to_token(token)
        return name

    def word_beginnings(self) -> frozenset[int]:
        """Ids that begin a word, of BPE vocabularies that mark them (byte-level or SentencePiece style); else none."""
        names = ((i, self._inner.id_to_token(i) or "") for i in range(self.vocab_size))
        return frozenset(i for i, name in names if len(name) > 1 and name[0] in WORD_MARKS)

    def encode(self, text: str) -> list[int]:
        """Ids of the text; no control token is ever among them."""
        # Lone surrogates are not text; Python makes them from broken input, and no encoding can carry them.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self._inner.encode(clean, add_special_tokens=False).ids
        return ids

    def encode_with_dropout(self, text: str, dropout: float) -> list[int]:
        """Like `encode`, but each merge is left out with this probability (BPE-dropout, Provilkov et al. 2020), so that
        small pieces, of which unseen names are made, are trained too. No effect on a character vocabulary."""
        model = self._inner.model
        if not isinstance(model, tokenizers.models.BPE):
            return self.encode(text)
        model.dropout = dropout
        try:
            return self.encode(text)
        finally:
            model.dropout = None

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids; control tokens are left out, incomplete characters become U+FFFD."""
        text: str = self._inner.decode(list(ids), skip_special_tokens=True)
        return text

    def stream(self) -> StreamDecoder:
        return StreamDecoder(self)


class StreamDecoder:
    """Turns ids that come one at a time into pieces of whole characters; the pieces joined equal `decode` of all."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._held: list[int] = []  # ids whose text was not given out yet, behind one id of context
        self._given = ""  # text of the context id

    def push(self, token: int) -> str:
        """The characters that became complete with this id, possibly none."""
        self._held.append(token)
        text = self._tokenizer.decode(self._held)
        if text.endswith("\ufffd") and len(self._held) <= MAX_HELD_BACK + 1:
            return ""
        piece = text[len(self._given) :]
        # Decoders treat the first id of a sequence specially, so one id stays as context for the next.
        self._held = [token]
        self._given = self._tokenizer.decode(self._held)
        return piece

    def flush(self) -> str:
        """What is left when no more ids come."""
        piece = self._tokenizer.decode(self._held)[len(self._given) :]
        self._held, self._given = [], ""
        return piece
