"""`vocab.json` and `merges.txt` as GPT-2 has them, of a small vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from engine.tokenizer import END_OF_TEXT


def write_gpt2_files(folder: Path, text: str) -> int:
    """Trained on the text; returns the number of tokens, of which the last is the end of text."""
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    inner.train_from_iterator([text], trainer)
    inner.model.save(str(folder))
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    (folder / "vocab.json").write_text(json.dumps({**vocab, END_OF_TEXT: len(vocab)}), encoding="utf-8")
    return len(vocab) + 1
