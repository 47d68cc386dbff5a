"""python -m training prepare --preset ember --data DIR --out RUN/data

Reads the corpora of a preset, trains the tokenizer, and packs every corpus into one file of token ids. Each document
stands behind an end-of-text token; a share of them is cut in two, the second part behind a memory prefix made from the
first by the same functions that serve the bot, so that the model learns to use (and to distrust) such a prefix.
"""

from __future__ import annotations

import array
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from config.presets import Preset, SourcePreset
from engine.prompt import render_memory
from engine.summary import Summary, split_sentences, summarize
from engine.tokenizer import END_OF_TEXT, Tokenizer
from training.corpus import file_sha256, held_out, join_documents, read_documents
from training.errors import CorpusError, RunError
from training.overlap import OverlapFilter
from training.vocabulary import train_char, train_hybrid

TOKENIZER_SAMPLE_BYTES = 30_000_000  # more text does not change the merges of a small vocabulary
ENCODE_BATCH = 2048  # documents encoded at once, over all cores
SECTION_CHARS = 6_000  # longer documents are cut into sections of this size before a memory prefix is made
EMPTY_SHARE, WRONG_SHARE = 0.1, 0.1  # of the memory prefixes: so the model learns when not to trust one
PIN_SHARE = 0.3  # of the memory prefixes carry a pinned fact
BPE_DROPOUT = 0.25


def prepare(preset: Preset, data: Path, out: Path, tokenizer_from: Path | None = None) -> None:
    """Write `tokenizer.json`, one `.bin` of 16-bit ids a source, `valid.txt` and `manifest.json` into `out`.

    With `tokenizer_from`, a folder that holds one, that tokenizer is used and none is trained.

    Raises:
        CorpusError: a corpus is missing, damaged or empty.
        RunError: the folder holds prepared data already, which a run may be reading.
    """
    if (out / "manifest.json").exists():
        raise RunError(f"{out} holds prepared data already; name another folder, or remove this one.")
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.load(tokenizer_from) if tokenizer_from is not None else make_tokenizer(preset, data)
    tokenizer.save(out)
    valid = list(read_documents(data / preset.valid))
    held_back = [document for source in preset.sources for document in validation_documents(data, source)]
    keep = OverlapFilter([*valid, *held_back])
    sources = []
    for index, source in enumerate(preset.sources):
        path = out / f"{index:02d}-{Path(source.file).name.split('.')[0]}.bin"
        before = keep.removed()
        documents = list(keep(training_documents(data, source)))
        if not documents:
            raise CorpusError(
                f"{data / source.file} holds no document that validation does not hold;"
                " check the file or take it out of the preset."
            )
        removed = {name: count - before[name] for name, count in keep.removed().items()}
        tokens = pack(preset, tokenizer, documents, path, seed=index)
        size = sum(len(document.encode()) for document in documents)
        sources.append(
            {**asdict(source), "sha256": file_sha256(data / source.file), "documents": len(documents), "bytes": size,
             "tokens": tokens, "bin": path.name, "removed": removed}
        )  # fmt: skip
        told = ", ".join(f"{count:,} {name} removed" for name, count in removed.items() if count)
        print(
            f"{source.file}: {len(documents):,} documents, {size:,} bytes, {tokens:,} tokens" + (f"; {told}" * bool(told)),
            flush=True,
        )
    (out / "held_out.txt").write_text(join_documents(held_back), encoding="utf-8", newline="")
    (out / "valid.txt").write_text(join_documents(valid), encoding="utf-8", newline="")
    manifest = {"preset": preset.name, "vocab_size": tokenizer.vocab_size, "sources": sources,
                "valid": {"file": preset.valid, "sha256": file_sha256(data / preset.valid)}}  # fmt: skip
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def make_tokenizer(preset: Preset, data: Path) -> Tokenizer:
    """Train the preset's tokenizer on a sample that has the proportions of the mixture."""

    def sample() -> Iterator[str]:
        for source in preset.sources:
            budget = TOKENIZER_SAMPLE_BYTES * source.weight
            for document in training_documents(data, source):
                if budget <= 0:
                    break
                yield document[: int(budget)]
                budget -= len(document)

    if preset.tokenizer.kind == "char":
        return train_char(sample())
    return train_hybrid(sample(), preset.tokenizer.vocab_size)


def training_documents(data: Path, source: SourcePreset) -> Iterator[str]:
    """A source's documents but for those of its validation split, up to its `max_bytes`."""
    left = source.max_bytes
    for document in read_documents(data / source.file):
        if held_out(document, source.hold_out):
            continue
        yield document
        if left is not None:
            left -= len(document.encode())
            if left <= 0:
                return


def validation_documents(data: Path, source: SourcePreset) -> Iterator[str]:
    """Those that the source holds back."""
    if source.hold_out:
        yield from (document for document in read_documents(data / source.file) if held_out(document, source.hold_out))


def pack(preset: Preset, tokenizer: Tokenizer, documents: list[str], path: Path, *, seed: int) -> int:
    """Shuffle whole documents, encode them, write ids; returns their number."""
    rng = random.Random(seed)
    rng.shuffle(documents)
    end_of_text = tokenizer.control[END_OF_TEXT]
    assert end_of_text is not None  # ours always have it
    total, sections = 0, list(_sections(documents))
    with path.open("wb") as file:
        for start in range(0, len(sections), ENCODE_BATCH):
            batch = sections[start : start + ENCODE_BATCH]
            ids = array.array("H")
            for text, continues in batch:
                stream = [] if continues else [end_of_text]
                if len(text) > 400 and rng.random() < preset.memory_share:
                    stream += with_memory(tokenizer, text, rng, end_of_text, other=rng.choice(batch)[0])
                else:
                    dropout = BPE_DROPOUT if rng.random() < preset.tokenizer.dropout_share else 0.0
                    stream += tokenizer.encode_with_dropout(text, dropout) if dropout else tokenizer.encode(text)
                ids.extend(stream)
            ids.tofile(file)
            total += len(ids)
    return total


def with_memory(tokenizer: Tokenizer, text: str, rng: random.Random, end_of_text: int, other: str) -> list[int]:
    """The text in two parts; between them an end-of-text and the memory of the first part, at times a wrong one.

    At times the memory is empty; then the first part is left out, so that no end-of-text stands in mid-story.
    """
    sentences = split_sentences(text) or [text]
    quarter = len(sentences) // 4
    cut = text.find(sentences[rng.randrange(quarter, max(quarter + 1, len(sentences) * 3 // 4))])
    first, rest = text[:cut], text[cut:]
    budget = rng.choice((150, 250, 400))  # characters
    draw = rng.random()
    told = "" if draw < EMPTY_SHARE else other if draw < EMPTY_SHARE + WRONG_SHARE else first
    summary = summarize(told, None, budget) if told else Summary()
    facts = [s for s in split_sentences(rest) if any(words in s for words in (" named ", " was a ", " had a "))]
    pins = [s for s in facts if 20 < len(s) < 120]
    chosen = tuple(pins[:1]) if rng.random() < PIN_SHARE else ()
    memory = render_memory(tokenizer, chosen, summary)
    before = [*tokenizer.encode(first), end_of_text] if memory else []
    return [*before, *memory, *tokenizer.encode(rest)]


def _sections(documents: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Documents, the long ones in sections that end with a paragraph; the flag says that one goes on from the last."""
    for document in documents:
        start = 0
        while start < len(document):
            end = document.find("\n", start + SECTION_CHARS) + 1 or len(document)
            yield document[start:end], start > 0
            start = end
