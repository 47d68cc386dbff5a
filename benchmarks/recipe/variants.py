"""The recipes that are compared: each a set of changes to `base`, with its reason and its source.

Every variant has as many parameters as `base`, within 1 %: what a trick adds or frees is taken from or given to the
feed-forward layers. Where extra parameters are the trick itself, a variant of the same name with `-extra` adds them on
top. The last column says whether a class of Hugging Face transformers could hold the weights; what only concerns
training leaves no trace in them.

| variant | changes | class that could hold it |
|---|---|---|
| base | nothing: `ember`'s recipe (SwiGLU, tied embeddings, outputs begin at zero, Muon) | Llama |
| adamw | AdamW for the matrices too | Llama |
| qk-norm | queries and keys of each head normalised | Qwen3 |
| relu2 | squared ReLU in the gate | Llama, Qwen3 (`hidden_act = "relu2"`) |
| plain-relu2 | squared ReLU without a gate | Arcee |
| leaky-relu2 | squared leaky ReLU without a gate | none |
| untied | a head of its own | Llama (`tie_word_embeddings = false`) |
| no-zero-init | outputs begin small instead of at zero | Llama |
| value-embedding(-extra) | tokens have values of their own in the first and last block | none |
| value-residual | values of the first block come again in all others | none |
| wide-end, wide-start | feed-forward from 0.5 to 1.5 times its mean, or back | Llama, if padded to the widest |
| half-attention | every second block has feed-forward alone | none without zeros in place of the attention |
| ema, ema-short | weights averaged over about the last 330, or 50, steps | Llama |
| curriculum | half the context until the rate falls, then all of it | Llama |
| deep, wide | 1.5 times the blocks, or three quarters of them, at another width | Llama |
| document-mask | no look into the document before | Llama |
| soft-cap | logits bent into -15 to 15 | none (Gemma 2 has it, with blocks of another kind) |
| smear | each position holds a learnt share of its left neighbour | none |
| bigram(-extra) | a hashed table of token pairs beside the embedding | none |

Variants are joined by +, as in `qk-norm+relu2`; `NAME@FACTOR` multiplies all learning rates, as in `adamw@0.5`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from benchmarks.recipe.model import Switches


class VariantError(Exception):
    """A variant that is not known, or cannot be meant."""


@dataclass(frozen=True)
class Shape:
    n_layer: int
    n_head: int
    n_embd: int
    n_ffn: int


@dataclass(frozen=True)
class Recipe:
    """All that a contestant is made of, beside shape and data."""

    switches: Switches = field(default_factory=Switches)
    extra: bool = False  # parameters of the trick come on top
    tied: bool = True
    model_type: Literal["llama", "qwen3"] = "llama"
    activation: Literal["silu", "relu2"] = "silu"  # on the gates
    optimizer: Literal["muon", "adamw"] = "muon"
    lr: float = 4e-3  # embeddings and scales; with AdamW all
    muon_lr: float = 0.02
    ema: float | None = None  # share of the average that a step keeps
    short_context: bool = False
    document_mask: bool = False
    depth: float = 1.0  # factor of the number of blocks; the width makes up for it


class Variant(NamedTuple):
    about: str  # why, and the source
    change: Callable[[Recipe], Recipe]


def recipe(**changes: Any) -> Callable[[Recipe], Recipe]:
    return lambda before: replace(before, **changes)


def model(**changes: Any) -> Callable[[Recipe], Recipe]:
    return lambda before: replace(before, switches=replace(before.switches, **changes))


def with_extra(change: Callable[[Recipe], Recipe]) -> Callable[[Recipe], Recipe]:
    return lambda before: replace(change(before), extra=True)


VALUE_EMBEDDING, BIGRAM = model(value_embedding=True), model(bigram=True)

VARIANTS: dict[str, Variant] = {
    "base": Variant("ember's recipe", recipe()),
    "adamw": Variant(
        "what is Muon worth? Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101",
        recipe(optimizer="adamw", lr=2e-3),
    ),
    "qk-norm": Variant(
        "bounded attention logits bear higher rates; Henry et al. 2020, https://arxiv.org/abs/2010.04245",
        recipe(model_type="qwen3"),
    ),
    "relu2": Variant(
        "sparser and cheaper units; So et al. 2021, https://arxiv.org/abs/2109.08668, here in a gate",
        recipe(activation="relu2"),
    ),
    "plain-relu2": Variant(
        "two matrices instead of three, so half again as many units; So et al. 2021",
        model(plain_units="relu2"),
    ),
    "leaky-relu2": Variant("no unit is ever dead; runs of openai/parameter-golf", model(plain_units="leaky_relu2")),
    "untied": Variant(
        "reading and writing tokens may want two matrices; against Press & Wolf 2017, https://arxiv.org/abs/1608.05859",
        recipe(tied=False),
    ),
    "no-zero-init": Variant(
        "what are blocks worth that begin as the identity? Normal, as in GPT-2", model(zero_init=False)
    ),
    "value-embedding": Variant("a token's identity reaches late blocks; KellerJordan/modded-nanogpt", VALUE_EMBEDDING),
    "value-embedding-extra": Variant("the table costs size, but no time; as above", with_extra(VALUE_EMBEDDING)),
    "value-residual": Variant(
        "the same without a table; Zhou et al. 2024, https://arxiv.org/abs/2410.17897", model(value_residual=True)
    ),
    "wide-end": Variant(
        "late blocks recall more; Mehta et al. 2024 (OpenELM), https://arxiv.org/abs/2404.14619", model(width_slope=0.5)
    ),
    "wide-start": Variant("the contrary of wide-end", model(width_slope=-0.5)),
    "half-attention": Variant(
        "attention in some blocks only; Press et al. 2020, https://arxiv.org/abs/1911.03864, reorder halves",
        model(attention_every=2),
    ),
    "ema": Variant("an average is less noisy than the last step; openai/parameter-golf has 0.997", recipe(ema=0.997)),
    "ema-short": Variant("an average that suits a run of few hundred steps", recipe(ema=0.98)),
    "curriculum": Variant(
        "short windows are cheaper; Press et al. 2021, https://arxiv.org/abs/2012.15832", recipe(short_context=True)
    ),
    "deep": Variant(
        "narrow and deep; Liu et al. 2024 (MobileLLM), https://arxiv.org/abs/2402.14905", recipe(depth=1.5)
    ),
    "wide": Variant("wide and shallow: faster steps", recipe(depth=0.75)),
    "document-mask": Variant(
        "another story is noise; Zhao et al. 2024, https://arxiv.org/abs/2402.13991", recipe(document_mask=True)
    ),
    "soft-cap": Variant(
        "no logit runs away; Gemma 2, https://arxiv.org/abs/2408.00118, with the cap of modded-nanogpt",
        model(soft_cap=True),
    ),
    "smear": Variant("pairs of tokens without attention; openai/parameter-golf, modded-nanogpt", model(smear=True)),
    "bigram": Variant("frequent pairs looked up; openai/parameter-golf", BIGRAM),
    "bigram-extra": Variant("the table costs size, but hardly time; as above", with_extra(BIGRAM)),
}


def parse(name: str) -> Recipe:
    """The recipe of `A+B@FACTOR`.

    Raises:
        VariantError: an unknown variant, or a factor that is not a positive number.
    """
    tricks, _, factor = name.partition("@")
    made = Recipe()
    for trick in tricks.split("+"):
        if trick not in VARIANTS:
            raise VariantError(f"There is no variant {trick!r}; choose from {', '.join(VARIANTS)}.")
        made = VARIANTS[trick].change(made)
    if not factor:
        return made
    try:
        scale = float(factor)
    except ValueError:
        scale = math.nan
    if not 0 < scale < math.inf:
        raise VariantError(f"{name}: what stands behind @ is a factor of the learning rates, for example adamw@0.5.")
    return replace(made, lr=made.lr * scale, muon_lr=made.muon_lr * scale)


def reshaped(shape: Shape, depth: float) -> Shape:
    """`depth` times the blocks, with heads of the same width and as many weights in them, about."""
    n_layer, head_dim = max(1, round(shape.n_layer * depth)), shape.n_embd // shape.n_head
    n_head = max(1, round(shape.n_head * math.sqrt(shape.n_layer / n_layer)))
    return Shape(n_layer, n_head, n_head * head_dim, shape.n_ffn)
