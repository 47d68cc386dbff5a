"""python -m training prepare --preset ember --data DIR --out RUN/data
python -m training prepare --preset ember --text DIR --licence "CC BY 4.0" --out RUN/data

Reads the corpora of a preset, or a folder of one's own text; takes out twins and what validation will ask; trains the
tokenizer; and packs every corpus into one file of token ids. Each document stands behind an end-of-text token; a share
of them is cut in two, the second part behind a memory prefix made from the first by the same functions that serve the
bot, so that the model learns to use (and to distrust) such a prefix.
"""

from __future__ import annotations

import array
import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from config.presets import Preset, SourcePreset
from engine.prompt import render_memory
from engine.summary import Summary, split_sentences, summarize
from engine.tokenizer import END_OF_TEXT, Tokenizer
from training.corpus import file_sha256, held_out, join_documents, read_documents
from training.errors import CorpusError, RunError
from training.mixing import require_unmixed
from training.overlap import OverlapFilter
from training.roles import Roles
from training.spool import Spool
from training.vocabulary import has_gpt2_files, read_tokenizer, train_char, train_hybrid

TOKENIZER_SAMPLE_CHARS = 30_000_000  # more text does not change the merges of a small vocabulary
MAX_VOCABULARY = 2**16  # ids are packed in 16 bits
ENCODE_BATCH = 2048  # sections whose ids are written at once
SECTION_CHARS = 6_000  # longer documents are cut into sections of this size before a memory prefix is made
EMPTY_SHARE, WRONG_SHARE = 0.1, 0.1  # of the memory prefixes: so the model learns when not to trust one
PIN_SHARE = 0.3  # of the memory prefixes carry a pinned fact
BPE_DROPOUT = 0.25


def prepare(
    preset: Preset, data: Path, out: Path, tokenizer_from: Path | None = None, *, own_text: bool = False
) -> None:
    """Write `tokenizer.json`, one `.bin` of 16-bit ids a source, `valid.txt` and `manifest.json` into `out`.

    Args:
        preset: where it names no validation file, what its sources hold out is validated on.
        data: the folder in which its files lie.
        tokenizer_from: a folder whose tokenizer to use; None: one is trained.
        own_text: the sources are not those that the preset itself names; the manifest says so.

    Raises:
        CorpusError: a corpus is missing, damaged or empty, or names real people; or mature text would be mixed with
            text that has to do with children.
        TokenizerError: the tokenizer of `tokenizer_from` cannot be used.
        RunError: the folder holds prepared data already, which a run may be reading.
    """
    if (out / "manifest.json").exists():
        raise RunError(f"{out} holds prepared data already; name another folder, or remove this one.")
    require_unmixed(asdict(source) for source in preset.sources)
    for source in preset.sources:
        if "crd3" in source.file.lower() and source.speakers is None:
            raise CorpusError(f'{source.file} names real people; give its source speakers = "roles" in the preset.')
    out.mkdir(parents=True, exist_ok=True)
    held_back = [text for source in preset.sources for text in held_documents(data, source)]
    valid = list(validation_documents(preset, data)) if preset.valid else held_back
    keep = OverlapFilter([*valid, *held_back])
    with ExitStack() as stack:
        spools = [stack.enter_context(Spool(out)) for _ in preset.sources]
        removed = [fill(spool, data, source, keep) for spool, source in zip(spools, preset.sources, strict=True)]
        tokenizer = choose_tokenizer(preset, data, tokenizer_from, spools)
        tokenizer.save(out)
        sources = []
        for index, (source, spool) in enumerate(zip(preset.sources, spools, strict=True)):
            path = out / f"{index:02d}-{Path(source.file).name.split('.')[0]}.bin"
            tokens = pack(preset, tokenizer, spool, path, seed=index)
            facts = {"documents": len(spool), "bytes": spool.bytes, "tokens": tokens}
            sources.append(
                {**asdict(source), "sha256": file_sha256(data / source.file), **facts, "bin": path.name,
                 "removed": removed[index]}
            )  # fmt: skip
            told = [f"{count:,} {name}" for name, count in facts.items()]
            told += [f"{count:,} {name} removed" for name, count in removed[index].items() if count]
            print(f"{source.file}: {', '.join(told)}", flush=True)
    (out / "held_out.txt").write_text(join_documents(held_back), encoding="utf-8", newline="")
    (out / "valid.txt").write_text(join_documents(valid), encoding="utf-8", newline="")
    asked = data / preset.valid if preset.valid else out / "held_out.txt"
    manifest: dict[str, Any] = {
        "preset": preset.name, "own_text": own_text, "vocab_size": tokenizer.vocab_size, "sources": sources,
        "valid": {"file": preset.valid or asked.name, "sha256": file_sha256(asked)},
    }  # fmt: skip
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def training_documents(data: Path, source: SourcePreset) -> Iterator[str]:
    """Those that the source does not hold back, up to its `max_bytes`."""
    left = source.max_bytes
    roles = read_roles(data, source)
    for document in read_documents(data / source.file):
        if held_out(document, source.hold_out):
            continue
        yield (text := clean(document, roles))
        if left is not None:
            left -= len(text.encode())
            if left <= 0:
                return
    if roles is not None and not roles.met:
        raise CorpusError(f'{source.file} has no line "NAME: text", so nobody can be made a role; take speakers out.')


def held_documents(data: Path, source: SourcePreset) -> Iterator[str]:
    """Those that the source holds back for validation."""
    if source.hold_out:
        roles, found = read_roles(data, source), read_documents(data / source.file)
        yield from (clean(document, roles) for document in found if held_out(document, source.hold_out))


def validation_documents(preset: Preset, data: Path) -> Iterator[str]:
    """Those of the preset's validation file; where it is of CRD3, or the only source is a transcript, with roles."""
    transcript = "crd3" in preset.valid.lower() or (len(preset.sources) == 1 and preset.sources[0].speakers == "roles")
    roles = Roles(read_documents(data / preset.valid)) if transcript else None
    yield from (clean(document, roles) for document in read_documents(data / preset.valid))


def read_roles(data: Path, source: SourcePreset) -> Roles | None:
    return Roles(read_documents(data / source.file)) if source.speakers == "roles" else None


def clean(document: str, roles: Roles | None) -> str:
    """With line breaks as they are written here, LF, and people as roles."""
    text = document.replace("\r\n", "\n").replace("\r", "\n")
    return roles(text) if roles is not None else text


def fill(spool: Spool, data: Path, source: SourcePreset, keep: OverlapFilter) -> dict[str, int]:
    """Put what is to be trained on into the spool; returns what was taken out, and how often."""
    before = keep.removed()
    for document in keep(training_documents(data, source)):
        spool.append(document)
    if not len(spool):
        raise CorpusError(
            f"{data / source.file} holds no document that validation does not hold;"
            " check the file or take it out of the preset."
        )
    return {name: count - before[name] for name, count in keep.removed().items()}


def choose_tokenizer(preset: Preset, data: Path, given: Path | None, spools: list[Spool]) -> Tokenizer:
    """The given one; for a large vocabulary GPT-2's own where its files lie with the corpora; else one trained here,
    on a sample that has the proportions of the mixture."""
    if given is None and preset.tokenizer.kind == "bpe" and has_gpt2_files(data):
        given = data
    if given is not None:
        tokenizer = read_tokenizer(given)
        print(f"tokenizer: {tokenizer.vocab_size:,} tokens, from {given}", flush=True)
        if tokenizer.end_of_text is None or tokenizer.vocab_size > MAX_VOCABULARY:
            raise RunError(
                f"{given} has more than {MAX_VOCABULARY:,} tokens or lacks {END_OF_TEXT}; take another tokenizer."
            )
        return tokenizer
    sample = (text for spool, source in zip(spools, preset.sources, strict=True) for text in take(spool, source.weight))
    if preset.tokenizer.kind == "char":
        return train_char(sample)
    return train_hybrid(sample, preset.tokenizer.vocab_size)


def take(spool: Spool, weight: float) -> Iterator[str]:
    """A source's part of the sample that the tokenizer is trained on: documents in a seeded order, in sections."""
    budget = int(TOKENIZER_SAMPLE_CHARS * weight)
    for section, _ in sections(spool.read(shuffled(len(spool), random.Random(0)))):
        yield section[:budget]
        budget -= len(section)
        if budget <= 0:
            return


def pack(preset: Preset, tokenizer: Tokenizer, spool: Spool, path: Path, *, seed: int) -> int:
    """Shuffle whole documents, encode them, write ids; returns their number."""
    rng = random.Random(seed)
    end_of_text = tokenizer.control[END_OF_TEXT]
    assert end_of_text is not None  # `choose_tokenizer` has seen to it
    total, stories = 0, sections(spool.read(shuffled(len(spool), rng)))
    with path.open("wb") as file:
        while batch := list(islice(stories, ENCODE_BATCH)):
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


def shuffled(count: int, rng: random.Random) -> list[int]:
    order = list(range(count))
    rng.shuffle(order)
    return order


def sections(texts: Iterator[str]) -> Iterator[tuple[str, bool]]:
    """Documents, the long ones in sections that end with a paragraph, or where a paragraph itself is longer than two
    sections with a word; the flag says that one goes on from the last."""
    for text in texts:
        start = 0
        while start < len(text):
            least, most = start + SECTION_CHARS, start + 2 * SECTION_CHARS
            end = text.find("\n", least, most) + 1
            if not end:
                end = len(text) if len(text) <= most else max(text.rfind(" ", least, most), 0) or most
            yield text[start:end], start > 0
            start = end
