"""How the writing changes along training: the same openings, continued at each validation."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from engine.model import GPT
from engine.sampling import Sampler, SamplingParams
from engine.tokenizer import MEMORY, STORY, UNKNOWN, Tokenizer

SAMPLES = "samples.jsonl"
PROMPTS = ("Once upon a time, there was a", '"Open the door," said the')
CHARACTERS = 120  # a model of characters writes as much as one of words
DRAW = SamplingParams(temperature=0.8, top_p=0.9, repetition_penalty=1.0, seed=1)  # the same draw every time


def write_samples(path: Path, step: int, model: GPT, tokenizer: Tokenizer) -> None:
    """Add a row for each opening: `step`, `prompt`, and `text`, what the model wrote behind it."""
    with path.open("a", encoding="utf-8") as file:
        for prompt in PROMPTS:
            row = {"step": step, "prompt": prompt, "text": continue_text(model, tokenizer, prompt)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


@torch.inference_mode()
def continue_text(model: GPT, tokenizer: Tokenizer, prompt: str) -> str:
    """About `CHARACTERS` characters, or what the model writes until it ends the text."""
    end = tokenizer.end_of_text
    never = (tokenizer.control[MEMORY], tokenizer.control[STORY], tokenizer.token_id(UNKNOWN))
    sampler = Sampler(DRAW, [i for i in never if i is not None])
    begin = ([end] if end is not None else []) + tokenizer.encode(prompt)
    ids, text = list(begin), ""
    while len(text) < CHARACTERS and len(ids) < len(begin) + CHARACTERS:
        window = torch.tensor([ids[-model.config.block_size :]], device=model.embedding.weight.device)  # (1, T)
        logits: Tensor = model(window, last_only=True)[0, -1]  # (1, T) -> (1, 1, V) -> (V,)
        token = sampler.next(logits.cpu(), ids)
        if token == end:
            break
        ids.append(token)
        text = tokenizer.decode(ids[len(begin) :])
    return text
