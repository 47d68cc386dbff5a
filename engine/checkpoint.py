"""Weights folders in the Hugging Face format: config.json, model.safetensors (FP16), tokenizer.json, card.json.

A folder from anywhere is checked before anything of it is used: names, shapes, dtypes and finite values. The tensors
are copied out of the file, so that a file which changes on disk never changes a running model.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import WeightsError
from engine.model import GPT, GPTConfig
from engine.tokenizer import Tokenizer

BUNDLED = Path(__file__).resolve().parent.parent / "weights"
DEFAULT_NAME = "ember"
MAX_PARAMETERS = 300_000_000  # what a 2 GB host could hold in FP16 beside the process itself
READABLE_DTYPES = ("F16", "BF16", "F32")


@dataclass(frozen=True)
class Weights:
    model: GPT
    tokenizer: Tokenizer
    base_id: str  # sha256 of model.safetensors, in hex: adapters belong to exactly one
    card: dict[str, Any]  # empty if the folder has none
    folder: Path


def default_weights() -> Path:
    """The bundled weights that serve when nobody chose others."""
    return BUNDLED / DEFAULT_NAME


def load_weights(
    folder: Path, *, dtype: torch.dtype = torch.float32, n_long_term: int = 0, n_session: int = 0
) -> Weights:
    """Read and check a weights folder; the model comes in eval mode with `dtype` for weights and arithmetic.

    Args:
        n_long_term, n_session: spare feed-forward units to make room for, zero at first.

    Raises:
        WeightsError: the folder or one of its files is missing, damaged, or not a model that this engine serves.
        TokenizerError: the tokenizer is missing, damaged, or larger than the model's vocabulary.
    """
    if not folder.is_dir():
        raise WeightsError(
            f"There is no weights folder {folder}; name a folder that holds config.json and model.safetensors."
        )
    config = replace(read_config(folder), n_long_term=n_long_term, n_session=n_session)
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise WeightsError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens but the model only {config.vocab_size};"
            " the files belong to different models, copy the folder again."
        )
    path = folder / "model.safetensors"
    base_id = file_sha256(path)
    model = GPT(config).to(dtype)
    _fill(model, read_tensors(path, expected_shapes(config)))
    model.eval().requires_grad_(False)
    return Weights(model, tokenizer, base_id, read_card(folder), folder)


def read_config(folder: Path) -> GPTConfig:
    """The model's shape from a `llama` config.json."""
    path = folder / "config.json"
    raw = _read_json(path)
    if raw.get("model_type") != "llama":
        raise WeightsError(f"{path}: model type {raw.get('model_type')!r} is not served here; llama is.")
    try:
        rope = raw.get("rope_parameters") or {}
        config = GPTConfig(
            vocab_size=_integer(raw, "vocab_size"),
            block_size=_integer(raw, "max_position_embeddings"),
            n_layer=_integer(raw, "num_hidden_layers"),
            n_head=_integer(raw, "num_attention_heads"),
            n_embd=_integer(raw, "hidden_size"),
            n_ffn=_integer(raw, "intermediate_size"),
            rope_theta=float(raw.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
            norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
            tie_embeddings=bool(raw.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: {error} is missing or not a number; copy the folder again.") from error
    if raw.get("num_key_value_heads", config.n_head) != config.n_head:
        raise WeightsError(
            f"{path}: grouped-query attention is not served here yet; use weights with as many key as query heads."
        )
    if raw.get("hidden_act", "silu") != "silu" or raw.get("attention_bias") or raw.get("mlp_bias"):
        raise WeightsError(
            f"{path}: activations other than silu, and biases, are not served here; use plain Llama weights."
        )
    if rope.get("rope_type", "default") != "default" or raw.get("rope_scaling"):
        raise WeightsError(f"{path}: scaled rotary positions are not served here; use weights without rope scaling.")
    per_head, left = divmod(config.n_embd, config.n_head)
    if left or per_head % 2 or raw.get("head_dim", per_head) != per_head:
        raise WeightsError(f"{path}: hidden_size must divide into heads of one even width; copy the folder again.")
    size = (
        config.n_layer * (4 * config.n_embd**2 + 3 * config.n_embd * config.n_ffn) + config.vocab_size * config.n_embd
    )
    if size > MAX_PARAMETERS:
        raise WeightsError(f"{path}: {size:,} parameters do not fit; this engine serves up to {MAX_PARAMETERS:,}.")
    return config


def expected_shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the file by its Hugging Face name."""
    C, F, V = config.n_embd, config.n_ffn, config.vocab_size
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (V, C), "model.norm.weight": (C,)}
    if not config.tie_embeddings:
        shapes["lm_head.weight"] = (V, C)
    for i in range(config.n_layer):
        layer = f"model.layers.{i}."
        shapes |= {f"{layer}self_attn.{x}_proj.weight": (C, C) for x in "qkvo"}
        shapes |= {f"{layer}mlp.{x}_proj.weight": (F, C) for x in ("gate", "up")}
        shapes |= {f"{layer}mlp.down_proj.weight": (C, F)}
        shapes |= {f"{layer}{x}_layernorm.weight": (C,) for x in ("input", "post_attention")}
    return shapes


def read_tensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, copied, after checking that exactly these are there and finite."""
    if not path.is_file():
        raise WeightsError(f"{path} is missing; a weights folder needs its model.safetensors.")
    try:
        with safe_open(path, framework="pt") as file:
            found = set(file.keys())
            if surplus := sorted(found ^ set(shapes)):
                raise WeightsError(f"{path}: {surplus[0]} is missing or does not belong there; copy the folder again.")
            tensors = {}
            for name, shape in shapes.items():
                view = file.get_slice(name)
                if tuple(view.get_shape()) != shape or view.get_dtype() not in READABLE_DTYPES:
                    raise WeightsError(
                        f"{path}: {name} has not the shape or type that config.json says; copy the folder again."
                    )
                tensors[name] = file.get_tensor(name).clone()
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged ({error}); copy the folder again.") from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name} holds values that are no numbers; copy the folder again.")
    return tensors


def save_weights(folder: Path, model: GPT, tokenizer: Tokenizer, card: dict[str, Any]) -> str:
    """Write a folder that this engine and `transformers` load; returns its base_id. Weights are stored in FP16."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    save_file(to_hugging_face(model), path, metadata={"format": "pt"})
    path.chmod(0o644)  # the library writes for its owner alone; whoever runs the bot must read it
    config, end = model.config, tokenizer.end_of_text
    _write_json(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": config.vocab_size,
            "max_position_embeddings": config.block_size, "num_hidden_layers": config.n_layer,
            "num_attention_heads": config.n_head, "num_key_value_heads": config.n_head, "hidden_size": config.n_embd,
            "intermediate_size": config.n_ffn, "rope_theta": config.rope_theta, "rms_norm_eps": config.norm_eps,
            "tie_word_embeddings": config.tie_embeddings, "hidden_act": "silu", "attention_bias": False,
            "mlp_bias": False, "bos_token_id": end, "eos_token_id": end, "torch_dtype": "float16",
        },
    )  # fmt: skip
    _write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": end,
            "eos_token_id": end,
            "do_sample": True,
            "temperature": 0.8,
            "top_p": 0.9,
            "repetition_penalty": 1.1,
        },
    )
    tokenizer.save(folder)
    _write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
         "clean_up_tokenization_spaces": False},
    )  # fmt: skip
    base_id = file_sha256(path)
    _write_json(folder / "card.json", {**card, "sha256": base_id})
    return base_id


def to_hugging_face(model: GPT) -> dict[str, Tensor]:
    """The core's tensors in FP16 under Hugging Face's names; fused matrices are taken apart."""
    config, state = model.config, model.state_dict()
    F, U = config.n_ffn, config.n_units
    tensors = {"model.embed_tokens.weight": state["embedding.weight"], "model.norm.weight": state["norm.weight"]}
    if not config.tie_embeddings:
        tensors["lm_head.weight"] = state["head.weight"]
    for i in range(config.n_layer):
        ours, theirs = f"blocks.{i}.", f"model.layers.{i}."
        q, k, v = state[f"{ours}attention.qkv.weight"].chunk(3)  # (3C, C) -> 3 x (C, C)
        gate_up = state[f"{ours}feed_forward.gate_up.weight"]  # (2U, C)
        tensors |= {f"{theirs}self_attn.{x}_proj.weight": t for x, t in zip("qkv", (q, k, v), strict=True)}
        tensors[f"{theirs}self_attn.o_proj.weight"] = state[f"{ours}attention.out.weight"]
        tensors[f"{theirs}mlp.gate_proj.weight"] = gate_up[:F]  # (F, C)
        tensors[f"{theirs}mlp.up_proj.weight"] = gate_up[U : U + F]  # (F, C)
        tensors[f"{theirs}mlp.down_proj.weight"] = state[f"{ours}feed_forward.down.weight"][:, :F]  # (C, F)
        tensors[f"{theirs}input_layernorm.weight"] = state[f"{ours}attention_norm.weight"]
        tensors[f"{theirs}post_attention_layernorm.weight"] = state[f"{ours}feed_forward_norm.weight"]
    return {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in tensors.items()}


@torch.no_grad()
def _fill(model: GPT, tensors: dict[str, Tensor]) -> None:
    """Copy checked tensors into place; spare units start at zero, so they change nothing."""
    config = model.config
    F, U = config.n_ffn, config.n_units
    for parameter in model.parameters():
        parameter.zero_()
    model.embedding.weight.copy_(tensors["model.embed_tokens.weight"])
    model.norm.weight.copy_(tensors["model.norm.weight"])
    if not config.tie_embeddings:
        model.head.weight.copy_(tensors["lm_head.weight"])
    for i, block in enumerate(model.layers()):
        layer = f"model.layers.{i}."
        qkv = [tensors[f"{layer}self_attn.{x}_proj.weight"] for x in "qkv"]
        block.attention.qkv.weight.copy_(torch.cat(qkv))  # 3 x (C, C) -> (3C, C)
        block.attention.out.weight.copy_(tensors[f"{layer}self_attn.o_proj.weight"])
        block.feed_forward.gate_up.weight[:F] = tensors[f"{layer}mlp.gate_proj.weight"]
        block.feed_forward.gate_up.weight[U : U + F] = tensors[f"{layer}mlp.up_proj.weight"]
        block.feed_forward.down.weight[:, :F] = tensors[f"{layer}mlp.down_proj.weight"]
        block.attention_norm.weight.copy_(tensors[f"{layer}input_layernorm.weight"])
        block.feed_forward_norm.weight.copy_(tensors[f"{layer}post_attention_layernorm.weight"])


def read_card(folder: Path) -> dict[str, Any]:
    """What the folder says of itself; empty if it says nothing."""
    return _read_json(folder / "card.json") if (folder / "card.json").is_file() else {}


def file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} is missing or not readable; a weights folder needs it.") from error


def _integer(raw: dict[str, Any], name: str) -> int:
    value = raw[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**24:
        raise ValueError(name)
    return value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing; a weights folder needs it.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not readable JSON; copy the folder again.") from error
    if not isinstance(raw, dict):
        raise WeightsError(f"{path} is not a JSON object; copy the folder again.")
    return raw


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
