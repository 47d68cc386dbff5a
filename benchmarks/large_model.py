"""python -m benchmarks.large_model [--type llama gpt2] [--tokens N] [--threads N] [--json]: 190M parameters on 2 GB.

Makes random weights of 12 layers, 768 wide, with a vocabulary of 50,257 and a context of 2,048, as transformers writes
them in BF16 and several files; imports them; compares greedy text with that of transformers, both in FP32 from the
imported FP16 weights; and writes a story with `prlimit --as=2147483648 -- python -m engine generate`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tokenizers
import tokenizers.decoders
import tokenizers.models
import tokenizers.pre_tokenizers
import torch

from engine.checkpoint import load_weights
from engine.model import KVCache
from training.__main__ import main as training

LIMIT = 2 << 30  # bytes of address space
VOCAB, CONTEXT = 50_257, 2048
STD = 0.04  # of the random weights: twice the usual, so that no two tokens are nearly as likely
SHAPES: dict[str, dict[str, int]] = {
    "llama": {"num_hidden_layers": 12, "num_attention_heads": 12, "hidden_size": 768, "intermediate_size": 3072,
              "max_position_embeddings": CONTEXT},
    "gpt2": {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": CONTEXT},
}  # fmt: skip


def write_source(folder: Path, kind: str) -> None:
    """A folder as transformers writes it."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    end = VOCAB - 1
    shape = AutoConfig.for_model(kind, vocab_size=VOCAB, bos_token_id=end, eos_token_id=end, **SHAPES[kind])
    model = AutoModelForCausalLM.from_config(shape)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=STD)
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="150MB")
    write_tokenizer(folder)


def write_tokenizer(folder: Path) -> None:
    """A byte-level vocabulary of GPT-2's size, whose merges are pairs of bytes."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    pairs = [(a, b) for a in alphabet for b in alphabet][: VOCAB - 1 - len(alphabet)]
    names = [*alphabet, *(a + b for a, b in pairs)]
    inner = tokenizers.Tokenizer(tokenizers.models.BPE({name: i for i, name in enumerate(names)}, pairs))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    inner.add_special_tokens(["<|endoftext|>"])
    inner.save(str(folder / "tokenizer.json"))


@torch.inference_mode()
def same_greedy_tokens(folder: Path, tokens: int) -> int:
    """How many of the first greedy tokens are those that transformers chooses."""
    from transformers import AutoModelForCausalLM

    weights = load_weights(folder)
    cache, ours = KVCache(weights.model.config, torch.float32), list[int]()
    prompt = weights.tokenizer.encode("Once upon a time, there was a fox")
    ids = torch.tensor([prompt])  # (1, T)
    for _ in range(tokens):
        ours.append(int(weights.model(ids, cache=cache, last_only=True)[0, -1].argmax()))
        ids = torch.tensor([ours[-1:]])  # (1, 1)
    del weights
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    start = torch.tensor([prompt])
    theirs = model.generate(
        start, attention_mask=torch.ones_like(start), do_sample=False, repetition_penalty=1.0, eos_token_id=None,
        max_new_tokens=tokens,
    )[0, len(prompt) :].tolist()  # fmt: skip
    return next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b), tokens)


def generate_limited(folder: Path, tokens: int, threads: int) -> dict[str, Any]:
    """Figures of the engine's own command in a process that may map no more than `LIMIT`."""
    prompt = "Once upon a time, " * 100
    arguments = {"weights": folder, "prompt": prompt, "max-new-tokens": tokens, "seed": 1, "threads": threads}
    options = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    engine = [sys.executable, "-m", "engine", "generate", "--json", *options]
    with subprocess.Popen(["prlimit", f"--as={LIMIT}", "--", *engine], stdout=subprocess.PIPE, text=True) as child:
        peaks: dict[str, float] = {}
        while child.poll() is None:
            peaks = read_peaks(child.pid) or peaks
            time.sleep(0.02)
        told = child.stdout.read() if child.stdout is not None else ""
    if child.returncode:
        raise SystemExit(f"python -m engine ended with code {child.returncode} on {folder.name}")
    figures = json.loads(told)
    return {"tokens": figures["tokens"], "tokens_per_second": figures["tokens_per_second"], **peaks}


def read_peaks(pid: int) -> dict[str, float]:
    """The highest figures so far of a process, in MB of 10^6 bytes; nothing when it has ended. What `wait` gives of a
    child would be its parent's where that was larger."""
    with contextlib.suppress(OSError):
        rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        if "VmHWM" in rows and "VmPeak" in rows:
            kib = {
                name: int(rows[row].split()[0]) for name, row in (("resident", "VmHWM"), ("address_space", "VmPeak"))
            }
            return {f"peak_{name}_mb": round(value * 1024 / 1e6, 1) for name, value in kib.items()}
    return {}


def measure(kind: str, tokens: int, threads: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        source, folder = Path(place) / "source", Path(place) / kind
        write_source(source, kind)
        with contextlib.redirect_stdout(io.StringIO()):
            if training(["import", str(source), "--out", str(folder)]):
                raise SystemExit(f"the {kind} was not imported")
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        same = same_greedy_tokens(folder, tokens)
        limited = generate_limited(folder, tokens, threads)
        return {"type": kind, "parameters": card["parameters"], "same_greedy_tokens": f"{same} of {tokens}", **limited}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", nargs="+", choices=sorted(SHAPES), default=["llama", "gpt2"])
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    for kind in args.type:
        figures = measure(kind, args.tokens, args.threads)
        print(json.dumps(figures) if args.json else "".join(f"{k:20} {v}\n" for k, v in figures.items()), flush=True)


if __name__ == "__main__":
    main()
