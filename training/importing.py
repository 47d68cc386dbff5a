"""python -m training import DIR --out weights/NAME [--rating general|mature] [--block-size N] [--name N] [--replace]

Takes a Hugging Face folder of a Llama, Qwen3 or GPT-2 to one that the bot serves: weights in FP16 in one file, a
tokenizer.json, a card. Folders come in many states, so this is more patient than the engine: weights in several files,
BF16 or FP32, names without their prefix, masks that old checkpoints stored, GPT-2's vocab.json and merges.txt. What the
model says is compared before and after, so that nothing is lost on the way unnoticed.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tokenizers.models
import torch
from torch import Tensor, nn

from engine.checkpoint import load_weights, read_model, save_weights
from engine.errors import TokenizerError, WeightsError
from engine.folder import document_tokens, read_card, read_config
from engine.model import GPT, GPTConfig
from engine.tensor_files import TensorFiles
from engine.tensor_views import whole_tensors
from engine.tokenizer import END_OF_TEXT, Tokenizer
from training.errors import RunError
from training.vocabulary import GPT2_FILES, byte_level, has_gpt2_files

TEXT = "Once upon a time, there was a fox. “Who are you?” asked the owl, and the fox said: "
ROWS, COLUMNS = 4, 64  # of tokens that are looked at before and after
MAX_DIFFERENCE = 0.1  # in standard deviations of the logits; trained weights lose some 0.004 in FP16
TABLES = {"llama": "model.", "qwen3": "model.", "gpt2": "transformer."}  # where the body of a model is kept
STORED_MASK = re.compile(r"h\.\d+\.attn\.(masked_)?bias|.*rotary_emb\.inv_freq")  # computed here, not learned


@dataclass(frozen=True)
class ImportOptions:
    source: Path
    out: Path
    name: str | None = None  # instead of the folder's
    rating: str | None = None  # "general" or "mature"; None: the source's card's, else "unknown"
    block_size: int | None = None  # a shorter context than the source's, for less memory
    replace: bool = False  # write over weights that are there


@dataclass(frozen=True)
class Imported:
    card: dict[str, Any]
    difference: float  # largest, of a logit in the source from that in the new folder
    spread: float  # standard deviation of the source's logits around the mean of their position
    same: int  # positions whose likeliest token is the same
    positions: int


def import_weights(options: ImportOptions) -> Imported:
    """Write the folder; all of it or nothing.

    Raises:
        RunError: `out` holds weights already, or the context asked for is longer than the source's.
        WeightsError: the source is damaged, of a kind that is not served, or loses too much in FP16.
        TokenizerError: it has no tokenizer that can be read.
    """
    source, out = options.source, options.out
    if (out / "model.safetensors").exists() and not options.replace:
        raise RunError(f"{out} holds weights already; add --replace to write over them or name another folder.")
    if out.resolve() == source.resolve():
        raise RunError(f"{out} is the folder to import from; name another one to write to.")
    config = read_config(source)
    tokenizer = read_tokenizer(source, config.vocab_size)
    files = plain_files(source, config)
    model = shortened(read_model(config, files, "float32"), options.block_size)
    ids = probe(tokenizer, model.config)
    before = logits(model, ids)
    card = make_card(options, model, files)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        fresh = Path(folder)
        save_weights(fresh, model, tokenizer, card)
        del model  # or two of them would be in memory
        imported = compare(before, logits(load_weights(fresh).model, ids), card)
        if not imported.difference <= MAX_DIFFERENCE * imported.spread:  # so that no number is refused, too
            raise WeightsError(
                f"{source}: in FP16 its logits are off by up to {imported.difference:.3g}, with a spread of"
                f" {imported.spread:.3g}; these weights need more range or digits than FP16 has and cannot be served."
            )
        out.mkdir(exist_ok=True)
        for file in fresh.iterdir():
            file.replace(out / file.name)
    return imported


def read_tokenizer(source: Path, vocab_size: int) -> Tokenizer:
    """The folder's tokenizer.json, or one made of GPT-2's two files, without tokens that the model has no row for."""
    tokens = document_tokens(source, vocab_size)
    if (source / "tokenizer.json").is_file() or not has_gpt2_files(source):
        if (source / "tokenizer.model").is_file() and not (source / "tokenizer.json").is_file():
            raise TokenizerError(f"{source} has only tokenizer.model; save it with transformers as tokenizer.json.")
        tokenizer = Tokenizer.load(source, **tokens)
    else:
        vocab, merges = (str(source / name) for name in GPT2_FILES)
        try:
            inner = byte_level(tokenizers.models.BPE.from_file(vocab, merges))
        except Exception as error:  # the library raises bare Exception
            raise TokenizerError(f"{vocab} and merges.txt are no readable tokenizer; copy them again.") from error
        if inner.token_to_id(END_OF_TEXT) is not None:
            inner.add_special_tokens([END_OF_TEXT])
        tokenizer = Tokenizer(inner, **tokens)
    if tokenizer.vocab_size > vocab_size:
        raise WeightsError(
            f"{source}: the tokenizer has {tokenizer.vocab_size} tokens but the model only {vocab_size};"
            " the files belong to different models, copy the folder again."
        )
    return tokenizer


def plain_files(source: Path, config: GPTConfig) -> TensorFiles:
    """The source's tensors under the names that the engine asks for."""
    body = TABLES[config.model_type]

    def plain(name: str) -> str | None:
        if STORED_MASK.fullmatch(name.removeprefix(body)):
            return None
        return name if name.startswith((body, "lm_head.")) else body + name

    files = TensorFiles.find(source).renamed(plain)
    if config.tie_embeddings and "lm_head.weight" in files.names():
        embedding = "transformer.wte.weight" if config.model_type == "gpt2" else "model.embed_tokens.weight"
        both = files.renamed(lambda name: name if name in (embedding, "lm_head.weight") else None)
        tables = [tensor for _, tensor in whole_tensors(both)]
        if not all(torch.equal(table, tables[0]) for table in tables):
            raise WeightsError(
                f"{source} ties the matrix that writes tokens to the one that reads them but holds two that differ;"
                " set tie_word_embeddings in its config.json to false."
            )
        files = files.renamed(lambda name: None if name == "lm_head.weight" else name)
    return files


def shortened(model: GPT, block_size: int | None) -> GPT:
    """The model with a shorter context, which changes nothing within it."""
    if block_size is None:
        return model
    if block_size > model.config.block_size:
        raise RunError(f"The model has a context of {model.config.block_size} tokens; ask for as many or fewer.")
    model.config = replace(model.config, block_size=block_size)
    if model.positions is not None:
        model.positions.weight = nn.Parameter(model.positions.weight[:block_size].clone(), requires_grad=False)
    return model


def probe(tokenizer: Tokenizer, config: GPTConfig) -> Tensor:
    """Ids (ROWS, T) to compare on: a text, and tokens drawn from the whole vocabulary, the same every time."""
    T = min(COLUMNS, config.block_size)
    ids = torch.randint(tokenizer.vocab_size, (ROWS, T), generator=torch.Generator().manual_seed(0))  # (ROWS, T)
    text = torch.tensor(tokenizer.encode(TEXT)[:T], dtype=torch.int64)
    ids[0, : len(text)] = text
    return ids


@torch.inference_mode()
def logits(model: GPT, ids: Tensor) -> Tensor:
    """(ROWS, T, V), in FP32."""
    found: Tensor = model(ids)
    return found


def compare(before: Tensor, after: Tensor, card: dict[str, Any]) -> Imported:
    """How far two sets of logits (ROWS, T, V) lie apart."""
    return Imported(
        card,
        difference=float((after - before).abs().max()),
        spread=float((before - before.mean(-1, keepdim=True)).std()),
        same=int((after.argmax(-1) == before.argmax(-1)).sum()),
        positions=before[..., 0].numel(),
    )


def make_card(options: ImportOptions, model: GPT, files: TensorFiles) -> dict[str, Any]:
    """What the source says of itself, if anything, and where it came from."""
    told = read_card(options.source)
    told.pop("evaluation", None)  # it was another folder's
    origin = {"folder": options.source.resolve().name, "sha256": files.sha256(), "model_type": model.config.model_type}
    return {
        **told,
        "name": options.name or options.out.resolve().name,
        "rating": options.rating or told.get("rating", "unknown"),
        "parameters": model.parameter_count(),
        "about": told.get("about", f"A {model.config.model_type} from elsewhere, imported"),
        "imported_from": origin,
    }
