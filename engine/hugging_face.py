"""How Hugging Face writes down a model: `config.json`, for llama, qwen3 and gpt2.

https://huggingface.co/docs/transformers describes each type's settings. Where one of them would change what the model
computes and this engine does not serve it, the folder is refused: nothing is computed wrongly in silence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import WeightsError, shown
from engine.shape import ACTIVATION_NAMES, Activation, GPTConfig, ModelType

MAX_PARAMETERS = 300_000_000  # what a 2 GB host could hold in FP16 beside the process itself
MAX_LAYERS = 1000
MAX_POSITIONS = 1 << 18
MAX_SPARE = 1024  # units of a group
# Outside of these a model computes with infinities, or with nothing at all.
EPSILONS, THETAS, FACTORS = (1e-12, 0.1), (1.0, 1e12), (1e-3, 1e6)
ALIASES: dict[str, Activation] = {"gelu_pytorch_tanh": "gelu_new", "swish": "silu"}
ARCHITECTURES: dict[ModelType, str] = {
    "llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM", "gpt2": "GPT2LMHeadModel",
}  # fmt: skip


def read_shape(raw: dict[str, Any], path: Path) -> GPTConfig:
    """The model's shape from what stands in a config.json.

    Raises:
        WeightsError: a value is missing or senseless, the model is too large, or of a kind that is not served here.
    """
    model_type: ModelType | None = next((kind for kind in ARCHITECTURES if kind == raw.get("model_type")), None)
    if model_type is None:
        raise WeightsError(
            f"{path}: model type {shown(raw.get('model_type'))!r} is not served here; llama, qwen3 and gpt2 are."
        )
    try:
        config = _gpt2_shape(raw) if model_type == "gpt2" else _llama_shape(raw, model_type)
        problem = _not_served(raw, config)
    except ValueError as error:
        raise WeightsError(f"{path}: {error} is missing or out of its range; copy the folder again.") from error
    except (TypeError, AttributeError, OverflowError, ZeroDivisionError) as error:
        raise WeightsError(f"{path}: a value is of another kind than it should be; copy the folder again.") from error
    if problem is not None:
        raise WeightsError(f"{path}: {problem}.")
    return config


def _llama_shape(raw: dict[str, Any], model_type: ModelType) -> GPTConfig:
    heads, width = _integer(raw, "num_attention_heads"), _integer(raw, "hidden_size")
    kv_heads = _integer(raw, "num_key_value_heads", default=heads)
    head_width = _integer(raw, "head_dim", default=128 if model_type == "qwen3" else width // heads)
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    return GPTConfig(
        vocab_size=_integer(raw, "vocab_size"),
        block_size=_integer(raw, "max_position_embeddings"),
        n_layer=_integer(raw, "num_hidden_layers"),
        n_head=heads,
        n_embd=width,
        n_ffn=_integer(raw, "intermediate_size"),
        rope_theta=_number(raw if raw.get("rope_theta") is not None else rope, "rope_theta", THETAS, default=10_000.0),
        norm_eps=_number(raw, "rms_norm_eps", EPSILONS, default=1e-6),
        tie_embeddings=_flag(raw, "tie_word_embeddings", default=False),
        n_long_term=_integer(raw, "n_long_term", default=0, least=0),
        n_session=_integer(raw, "n_session", default=0, least=0),
        model_type=model_type,
        activation=_activation(raw, "hidden_act", "silu"),
        n_kv_head=None if kv_heads == heads else kv_heads,
        head_width=None if head_width * heads == width else head_width,
        rope_scaling=_llama3_scaling(rope) if _rope_type(raw) == "llama3" else None,
        attention_bias=_flag(raw, "attention_bias", default=False),
        ffn_bias=_flag(raw, "mlp_bias", default=False) and model_type == "llama",
    )


def _gpt2_shape(raw: dict[str, Any]) -> GPTConfig:
    width = _integer(raw, "n_embd")
    return GPTConfig(
        vocab_size=_integer(raw, "vocab_size"),
        block_size=_integer(raw, "n_positions"),
        n_layer=_integer(raw, "n_layer"),
        n_head=_integer(raw, "n_head"),
        n_embd=width,
        n_ffn=_integer(raw, "n_inner", default=4 * width),
        norm_eps=_number(raw, "layer_norm_epsilon", EPSILONS, default=1e-5),
        tie_embeddings=_flag(raw, "tie_word_embeddings", default=True),
        n_long_term=_integer(raw, "n_long_term", default=0, least=0),
        n_session=_integer(raw, "n_session", default=0, least=0),
        model_type="gpt2",
        activation=_activation(raw, "activation_function", "gelu_new"),
    )


def _not_served(raw: dict[str, Any], config: GPTConfig) -> str | None:
    """Why a model is refused; None if it is served."""
    gpt2, sliding = config.model_type == "gpt2", set(raw.get("layer_types") or ()) - {"full_attention"}
    sliding_window = raw.get("use_sliding_window") and raw.get("sliding_window") and not raw.get("layer_types")
    act = raw.get("activation_function" if gpt2 else "hidden_act")
    even = config.head_dim % 2 == 0 or gpt2
    whole = config.n_embd % config.n_head == 0 or (config.head_width is not None and raw.get("head_dim") is not None)
    rope = _rope_type(raw) if not gpt2 else "default"
    partial = (raw.get("rope_parameters") or {}).get("partial_rotary_factor") or raw.get("partial_rotary_factor") or 1
    checks = (
        (act is None or ALIASES.get(act, act) in ACTIVATION_NAMES,
         f"activation {shown(act)!r} is not served here; {', '.join(ACTIVATION_NAMES)} are"),
        (not gpt2 or (raw.get("scale_attn_weights", True) and not raw.get("scale_attn_by_inverse_layer_idx")),
         "attention that is scaled in another way is not served here; use weights of plain GPT-2"),
        (not raw.get("add_cross_attention"), "cross-attention is not served here; use weights of plain GPT-2"),
        (not sliding and not sliding_window, "sliding attention is not served here; use weights without it"),
        (rope in ("default", "llama3") and partial == 1,
         f"rotary positions of type {shown(rope)!r}, or of a part of each head, are not served here; default and llama3"
         " are"),
        (whole and even, "hidden_size must divide into heads of one even width; copy the folder again"),
        (config.n_head % config.kv_heads == 0,
         f"{config.n_head} heads of queries cannot share {config.kv_heads} of keys evenly; copy the folder again"),
        (max(config.n_long_term, config.n_session) <= MAX_SPARE,
         f"n_long_term and n_session may be {MAX_SPARE:,} at most; set fewer spare units"),
        (config.n_weights <= MAX_PARAMETERS and config.n_layer <= MAX_LAYERS and config.block_size <= MAX_POSITIONS,
         f"{config.n_weights:,} parameters in {config.n_layer:,} layers for {config.block_size:,} positions do not fit;"
         f" this engine serves up to {MAX_PARAMETERS:,}, {MAX_LAYERS:,} and {MAX_POSITIONS:,}"),
    )  # fmt: skip
    return next((problem for served, problem in checks if not served), None)


def write_shape(config: GPTConfig, begin: int | None, end: int | None) -> dict[str, Any]:
    """What `config.json` says of a model: `transformers` reads it, and `read_shape` gives the same shape again.

    Args:
        begin, end: ids that stand before and behind a document.
    """
    start = {"architectures": [ARCHITECTURES[config.model_type]], "model_type": config.model_type}
    shape: dict[str, Any]
    if config.model_type == "gpt2":
        shape = {
            "vocab_size": config.vocab_size, "n_positions": config.block_size, "n_layer": config.n_layer,
            "n_head": config.n_head, "n_embd": config.n_embd, "n_inner": config.n_ffn,
            "activation_function": config.activation, "layer_norm_epsilon": config.norm_eps,
            "tie_word_embeddings": config.tie_embeddings,
        }  # fmt: skip
    else:
        shape = {
            "vocab_size": config.vocab_size, "max_position_embeddings": config.block_size,
            "num_hidden_layers": config.n_layer, "num_attention_heads": config.n_head,
            "num_key_value_heads": config.kv_heads, "hidden_size": config.n_embd, "intermediate_size": config.n_ffn,
            "rope_theta": config.rope_theta, "rms_norm_eps": config.norm_eps,
            "tie_word_embeddings": config.tie_embeddings, "hidden_act": config.activation,
            "attention_bias": config.attention_bias,
        }  # fmt: skip
        if config.model_type == "llama":
            shape["mlp_bias"] = config.ffn_bias
        if config.model_type == "qwen3" or config.head_width is not None:
            shape["head_dim"] = config.head_dim
        if config.rope_scaling is not None:
            factor, low, high, trained = config.rope_scaling
            shape["rope_scaling"] = {
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                "original_max_position_embeddings": trained,
            }  # fmt: skip
    spare = {"n_long_term": config.n_long_term, "n_session": config.n_session}  # transformers passes these over
    room = {name: units for name, units in spare.items() if units}
    return {**start, **shape, **room, "bos_token_id": begin, "eos_token_id": end, "torch_dtype": "float16"}


def _activation(raw: dict[str, Any], name: str, default: Activation) -> Activation:
    """An activation by the name it has here; one that is not served becomes the default, and `_not_served` says so."""
    given = raw.get(name) or default
    known: Activation = ALIASES.get(given, given if given in ACTIVATION_NAMES else default)
    return known


def _rope_type(raw: dict[str, Any]) -> str:
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    if any(isinstance(value, dict) for value in rope.values()):
        return "different for each layer"
    return str(rope.get("rope_type") or rope.get("type") or "default")


def _llama3_scaling(rope: dict[str, Any]) -> tuple[float, float, float, int]:
    low, high = _number(rope, "low_freq_factor", FACTORS), _number(rope, "high_freq_factor", FACTORS)
    if low >= high:
        raise ValueError("high_freq_factor")
    return _number(rope, "factor", FACTORS), low, high, _integer(rope, "original_max_position_embeddings")


def _integer(raw: dict[str, Any], name: str, *, default: int | None = None, least: int = 1) -> int:
    """A whole number from `least`, or the default where none stands there."""
    value = raw.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**24:
        raise ValueError(name)
    return value


def _number(raw: dict[str, Any], name: str, span: tuple[float, float], *, default: float | None = None) -> float:
    """A number within a span, or the default where none stands there."""
    value = raw.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not span[0] <= value <= span[1]:
        raise ValueError(name)
    return float(value)


def _flag(raw: dict[str, Any], name: str, *, default: bool) -> bool:
    """True or false, or the default where neither stands there."""
    value = raw.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ValueError(name)
    return value
