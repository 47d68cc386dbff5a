"""Small models for the tests: real folders with random weights, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from engine.checkpoint import save_weights
from engine.model import GPT, GPTConfig
from training.vocabulary import train_hybrid

# No test is about time: a machine that does other work besides is no reason to fail.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

SAMPLE = (
    "Once upon a time, there was a little fox named Mira. She lived in a forest near the river. One day, Mira found a "
    'key. "What does it open?" she asked her friend Tom. They walked to the old house and tried the door.\n'
)


def write_tiny_weights(
    folder: Path,
    seed: int,
    *,
    block_size: int = 128,
    n_layer: int = 2,
    n_embd: int = 32,
    name: str | None = None,
    endless: bool = False,
) -> Path:
    """A weights folder of random parameters, some 30,000 if not asked otherwise, over a hybrid vocabulary of 300.

    An endless model never writes the end of a text where it is read greedily, on any machine and with any kernel.
    """
    tokenizer = train_hybrid([SAMPLE] * 4, 300)
    torch.manual_seed(seed)
    shape = {"block_size": block_size, "n_layer": n_layer, "n_embd": n_embd, "n_ffn": 2 * n_embd}
    config = GPTConfig(tokenizer.vocab_size, n_head=2, **shape)
    model = GPT(config)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.2)
    if endless:  # the end's logit is zero, and some other's is above it
        assert config.tie_embeddings
        assert tokenizer.end_of_text is not None
        with torch.no_grad():
            model.embedding.weight[tokenizer.end_of_text] = 0
    save_weights(folder, model, tokenizer, {"name": name or folder.name, "rating": "general"})
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As fast as two for models this small, and without a wait where other work has the cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights") / "tiny", 1)


@pytest.fixture(scope="session")
def other_tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights") / "other-tiny", 2)
