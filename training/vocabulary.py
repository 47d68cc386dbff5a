"""Makes tokenizers: characters, or BPE over all bytes, small (hybrid) or large. All are in the `tokenizers` format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from engine.errors import TokenizerError
from engine.tokenizer import CONTROL_TOKENS, UNKNOWN, Tokenizer

# A character rarer than this cannot be learnt, and an untrained token could not be taught (docs/architecture.md).
MIN_CHARACTER_COUNT = 200
GPT2_FILES = ("vocab.json", "merges.txt")


def train_hybrid(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """BPE (Sennrich et al. 2016) whose alphabet is all 256 bytes, so that any text encodes and comes back unchanged.

    Text is first split as GPT-2 does it (Radford et al. 2019): words with the space before them, numbers, signs.
    """
    inner = byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return Tokenizer(inner)


def train_char(texts: Iterable[str]) -> Tokenizer:
    """One token for each character that is common enough to be learnt; others become the unknown token."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    characters = sorted(c for c, count in counts.items() if count >= MIN_CHARACTER_COUNT)
    vocab = {token: index for index, token in enumerate([*CONTROL_TOKENS, UNKNOWN, *characters])}
    inner = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    inner.add_special_tokens([*CONTROL_TOKENS, UNKNOWN])
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    inner.decoder = decoders.Fuse()
    return Tokenizer(inner)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The `tokenizer.json` of a folder, or the one that GPT-2's own two files make there.

    Raises:
        TokenizerError: neither is there, or it cannot be used.
    """
    if (folder / "tokenizer.json").is_file() or not has_gpt2_files(folder):
        return Tokenizer.load(folder)
    vocab, merges = (str(folder / name) for name in GPT2_FILES)
    try:
        inner = byte_level(models.BPE.from_file(vocab, merges))
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"{vocab} and {merges} make no tokenizer ({error}); copy them again.") from error
    inner.add_special_tokens(list(CONTROL_TOKENS))  # GPT-2 has the first of them; the others follow its last token
    if missing := set(pre_tokenizers.ByteLevel.alphabet()) - inner.get_vocab().keys():
        raise TokenizerError(f"{vocab} lacks {len(missing)} of the 256 bytes; take a byte-level vocabulary.")
    return Tokenizer(inner)


def has_gpt2_files(folder: Path) -> bool:
    return all((folder / name).is_file() for name in GPT2_FILES)


def byte_level(model: models.BPE) -> tokenizers.Tokenizer:
    """A tokenizer around a BPE model that splits, spells and joins text as GPT-2's does."""
    inner = tokenizers.Tokenizer(model)
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return inner
