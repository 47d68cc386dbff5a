"""Makes tokenizers: characters, or a small BPE over all bytes. Both are written in the `tokenizers` format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from engine.tokenizer import CONTROL_TOKENS, UNKNOWN, Tokenizer

# A character rarer than this cannot be learnt, and an untrained token could not be taught (docs/architecture.md).
MIN_CHARACTER_COUNT = 200


def train_hybrid(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """BPE (Sennrich et al. 2016) whose alphabet is all 256 bytes, so that any text encodes and comes back unchanged."""
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
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
