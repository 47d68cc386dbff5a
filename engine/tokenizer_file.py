"""tokenizer.json, checked before the `tokenizers` library reads it: known parts alone, with what they may be told.

A vocabulary file is a small program. Its patterns can take forever, its normalizers can make a page of a letter, its
templates can repeat the text. So a part is let in by name, each with the settings it may have; patterns are only those
that well-known vocabularies split text by; and what grows text may do so up to `MAX_GROWTH` times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MAX_BYTES = 16 << 20
MAX_TOKENS = 1 << 18
MAX_TOKEN = 1024  # characters
MAX_ADDED = 4096
MAX_PARTS = 128  # of a sequence
MAX_LITERAL = 64  # characters that are replaced, or put in their place
MAX_GROWTH = 64
TOP = {
    "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder",
    "model",
}  # fmt: skip
# How GPT-2, Llama 3 and Qwen split text, and one character after the other. None of them looks at a place twice.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_SIGNS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    rf"{_WORDS}\p{{N}}{{1,3}}{_SIGNS}",
    rf"{_WORDS}\p{{N}}{_SIGNS}",
    r"[\s\S]",
}
BEHAVIORS = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"}
SCHEMES = {"first", "never", "always"}

Check = Callable[[Any], bool]


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _character(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 1


def _literal(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_LITERAL


def _one_of(names: set[str]) -> Check:
    return lambda value: isinstance(value, str) and value in names


def _few(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_LITERAL


def _text_pattern(value: Any) -> bool:
    return (
        isinstance(value, dict) and value.keys() == {"String"} and _literal(value["String"]) and bool(value["String"])
    )


def _pattern(value: Any) -> bool:
    known = isinstance(value, dict) and value.keys() == {"Regex"} and isinstance(value["Regex"], str)
    return _text_pattern(value) or (known and value["Regex"] in PATTERNS)


def _template(value: Any) -> bool:
    """The text once, with special tokens around it, which `encode` leaves out."""
    pieces = [next(iter(piece)) for piece in value if isinstance(piece, dict) and len(piece) == 1]
    return len(pieces) == len(value) <= MAX_PARTS and set(pieces) <= {"Sequence", "SpecialToken"}


def _single(value: Any) -> bool:
    return isinstance(value, list) and _template(value) and sum("Sequence" in piece for piece in value) == 1


def _pair(value: Any) -> bool:
    return isinstance(value, list) and _template(value)


def _special(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= MAX_PARTS


BYTES: dict[str, Check] = {"add_prefix_space": _flag, "trim_offsets": _flag, "use_regex": _flag}
SPACES: dict[str, Check] = {
    "replacement": _character, "str_rep": _character, "add_prefix_space": _flag, "prepend_scheme": _one_of(SCHEMES),
    "split": _flag,
}  # fmt: skip
REPLACE: dict[str, Check] = {"pattern": _text_pattern, "content": _literal}
# Of each stage of the work its parts, of each part what it may be told. A stage may also be a Sequence of parts.
STAGES: dict[str, dict[str, dict[str, Check]]] = {
    "normalizer": {
        "NFC": {}, "NFD": {}, "NFKC": {}, "NFKD": {}, "Lowercase": {}, "StripAccents": {}, "ByteLevel": {},
        "Strip": {"strip_left": _flag, "strip_right": _flag}, "Prepend": {"prepend": _literal}, "Replace": REPLACE,
    },
    "pre_tokenizer": {
        "ByteLevel": BYTES, "Metaspace": SPACES, "Whitespace": {}, "WhitespaceSplit": {},
        "Digits": {"individual_digits": _flag}, "Punctuation": {"behavior": _one_of(BEHAVIORS)},
        "Split": {"pattern": _pattern, "behavior": _one_of(BEHAVIORS), "invert": _flag},
    },
    "post_processor": {
        "ByteLevel": BYTES,
        "TemplateProcessing": {"single": _single, "pair": _pair, "special_tokens": _special},
    },
    "decoder": {
        "ByteLevel": BYTES, "Metaspace": SPACES, "ByteFallback": {}, "Fuse": {}, "Replace": REPLACE,
        "Strip": {"content": _character, "start": _few, "stop": _few},
    },
}  # fmt: skip
SEQUENCES = {
    "normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "post_processor": "processors",
    "decoder": "decoders",
}  # fmt: skip
GROWTH = {"NFC": 3, "NFD": 4, "NFKC": 18, "NFKD": 18, "Lowercase": 3, "ByteLevel": 2}  # times, at most


def check_tokenizer(raw: dict[str, Any]) -> None:
    """Whether the library may read what stands in a tokenizer.json.

    Raises:
        ValueError: a part is not known here, or could take more time or memory than text is worth; a clause.
    """
    if not raw.keys() <= TOP:
        raise ValueError("it has parts that are not known here")
    for key in ("truncation", "padding"):  # both are switched off
        if not isinstance(raw.get(key), dict | None):
            raise ValueError(f"its {key} is of another kind than it should be")
    for stage in STAGES:
        parts = _parts(raw.get(stage), stage)
        if _growth(parts) > MAX_GROWTH:
            raise ValueError(f"its {stage} makes too much of a text")
    vocab = _check_model(raw.get("model"))
    _check_added(raw.get("added_tokens", []), vocab)


def _parts(given: Any, stage: str) -> list[dict[str, Any]]:
    """The parts of a stage, one after the other."""
    if given is None:
        return []
    inside = SEQUENCES[stage]
    if isinstance(given, dict) and given.get("type") == "Sequence":
        parts = given.get(inside)
        if given.keys() != {"type", inside} or not isinstance(parts, list) or len(parts) > MAX_PARTS:
            raise ValueError(f"its {stage} is no sequence of parts")
    else:
        parts = [given]
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        known = STAGES[stage].get(kind) if isinstance(kind, str) else None
        if known is None:
            raise ValueError(f"its {stage} has a part that is not known here")
        told = {key: value for key, value in part.items() if key != "type"}
        if not told.keys() <= known.keys() or not all(known[key](value) for key, value in told.items()):
            raise ValueError(f"its {stage} tells {kind} what is not known here")
    return parts


def _growth(parts: list[dict[str, Any]]) -> float:
    """How many times as long a text can become: each part by itself, and by what later ones make of what it writes."""
    total = [1.0] * len(parts)
    for i in reversed(range(len(parts))):
        later = range(i + 1, len(parts))
        after = max((total[j] for j in later if _meet(parts[i], parts[j])), default=1.0)
        total[i] = _times(parts[i]) * max(1.0, after)
    return max(total, default=1.0)


def _times(part: dict[str, Any]) -> float:
    if part["type"] == "Replace":
        return max(1.0, len(part["content"].encode()) / len(part["pattern"]["String"].encode()))
    return GROWTH.get(part["type"], 1)


def _meet(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a part may find something in what another has written."""
    if one["type"] == other["type"] == "Replace":
        return _overlap(one["content"], other["pattern"]["String"])
    return True


def _overlap(written: str, pattern: str) -> bool:
    """Whether the pattern may stand in a text so that a part of it, or all, is of what was written."""
    if not written:
        return False
    ends = range(1, min(len(written), len(pattern)))
    return (
        pattern in written
        or written in pattern
        or any(written.endswith(pattern[:n]) or written.startswith(pattern[-n:]) for n in ends)
    )


def _check_model(model: Any) -> dict[str, int]:
    """The vocabulary of a model that is BPE, or one token for each word."""
    if not isinstance(model, dict):
        raise ValueError("it has no model")
    kind = model.get("type", "BPE")  # older files do not say
    if kind not in ("BPE", "WordLevel"):
        raise ValueError("its model is neither BPE nor WordLevel")
    known = BPE if kind == "BPE" else WORDS
    told = {key: value for key, value in model.items() if key != "type"}
    if not told.keys() <= known.keys() or not all(known[key](value) for key, value in told.items()):
        raise ValueError("its model is told what is not known here")
    vocab = model.get("vocab")
    if not isinstance(vocab, dict) or not 0 < len(vocab) <= MAX_TOKENS:
        raise ValueError(f"its vocabulary has no tokens or more than {MAX_TOKENS:,}")
    if not all(type(token) is int and 0 <= token < MAX_TOKENS for token in vocab.values()):
        raise ValueError("a token has a number that cannot be")
    if len(set(vocab.values())) < len(vocab) or max(map(len, vocab)) > MAX_TOKEN:
        raise ValueError("two tokens have one number, or one is too long")
    if model.get("unk_token") is not None and model["unk_token"] not in vocab:
        raise ValueError("its unknown token is not in the vocabulary")
    if kind == "BPE":
        _check_merges(model.get("merges"), vocab)
    return vocab


def _check_merges(merges: Any, vocab: dict[str, int]) -> None:
    if not isinstance(merges, list) or len(merges) > MAX_TOKENS:
        raise ValueError(f"it has no merges or more than {MAX_TOKENS:,}")
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(half, str) for half in pair):
            raise ValueError("a merge is no pair of tokens")
        if not all(half in vocab for half in pair) or pair[0] + pair[1] not in vocab:
            raise ValueError("a merge makes what is not in the vocabulary")


def _check_added(added: Any, vocab: dict[str, int]) -> None:
    """Tokens beside the model's: each one known by one number, and each number for one token."""
    if not isinstance(added, list) or len(added) > MAX_ADDED:
        raise ValueError(f"its added tokens are no list or more than {MAX_ADDED:,}")
    numbers = {number: token for token, number in vocab.items()}
    for token in added:
        if not isinstance(token, dict) or not token.keys() <= ADDED.keys() or not {"id", "content"} <= token.keys():
            raise ValueError("an added token is told what is not known here")
        if not all(ADDED[key](value) for key, value in token.items()):
            raise ValueError("an added token is told what cannot be")
        number, content = token["id"], token["content"]
        if numbers.get(number, content) != content or vocab.get(content, number) != number:
            raise ValueError("an added token has another's number")
        numbers[number] = content
    contents = [token["content"] for token in added]
    if len(set(contents)) < len(contents):
        raise ValueError("a token is added twice")


def _name(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= MAX_TOKEN)


BPE: dict[str, Check] = {
    "dropout": lambda value: value is None or (type(value) in (int, float) and value == 0), "unk_token": _name,
    "continuing_subword_prefix": lambda value: value is None or value == "",
    "end_of_word_suffix": lambda value: value is None or value == "",
    "fuse_unk": _flag, "byte_fallback": _flag, "ignore_merges": _flag,
    "vocab": lambda value: isinstance(value, dict), "merges": lambda value: isinstance(value, list),
}  # fmt: skip
WORDS: dict[str, Check] = {"vocab": lambda value: isinstance(value, dict), "unk_token": _name}
ADDED: dict[str, Check] = {
    "id": lambda value: type(value) is int and 0 <= value < MAX_TOKENS,
    "content": lambda value: isinstance(value, str) and 0 < len(value) <= MAX_TOKEN,
    "single_word": _flag, "lstrip": _flag, "rstrip": _flag, "normalized": _flag, "special": _flag,
}  # fmt: skip
