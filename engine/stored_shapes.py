"""Every tensor that the files of a model hold, by name: no more, no fewer, and of which shape.

A torch model without memory would tell the same, for 60 MB of imports.
"""

from __future__ import annotations

from engine.shape import GPTConfig

Shapes = dict[str, tuple[int, ...]]


def stored_shapes(config: GPTConfig) -> Shapes:
    return _gpt2_shapes(config) if config.model_type == "gpt2" else _llama_shapes(config)


def _llama_shapes(config: GPTConfig) -> Shapes:
    """Of a llama or qwen3."""
    C, F, D = config.n_embd, config.n_ffn, config.head_dim
    read, shared = config.n_head * D, config.kv_heads * D
    matrices = {
        "self_attn.q_proj": (read, C), "self_attn.k_proj": (shared, C), "self_attn.v_proj": (shared, C),
        "self_attn.o_proj": (C, read), "mlp.gate_proj": (F, C), "mlp.up_proj": (F, C), "mlp.down_proj": (C, F),
    }  # fmt: skip
    norms = {"input_layernorm": (C,), "post_attention_layernorm": (C,)}
    if config.model_type == "qwen3":
        norms |= {"self_attn.q_norm": (D,), "self_attn.k_norm": (D,)}
    shapes: Shapes = {"model.embed_tokens.weight": (config.vocab_size, C), "model.norm.weight": (C,)}
    if not config.tie_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, C)
    for i in range(config.n_layer):
        for owner, shape in {**matrices, **norms}.items():
            shapes[f"model.layers.{i}.{owner}.weight"] = shape
            biased = config.attention_bias if owner.startswith("self_attn") else config.ffn_bias
            if biased and owner in matrices:
                shapes[f"model.layers.{i}.{owner}.bias"] = shape[:1]
    return shapes


def _gpt2_shapes(config: GPTConfig) -> Shapes:
    """Maps lie on their side here: (n_in, n_out)."""
    C, F = config.n_embd, config.n_ffn
    maps = {"attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C), "mlp.c_fc": (C, F), "mlp.c_proj": (F, C)}
    shapes: Shapes = {
        "transformer.wte.weight": (config.vocab_size, C),
        "transformer.wpe.weight": (config.block_size, C),
    }
    if not config.tie_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, C)
    norms = ["transformer.ln_f"]
    for i in range(config.n_layer):
        layer = f"transformer.h.{i}."
        norms += [f"{layer}ln_1", f"{layer}ln_2"]
        for owner, shape in maps.items():
            shapes[f"{layer}{owner}.weight"], shapes[f"{layer}{owner}.bias"] = shape, shape[1:]
    return shapes | {f"{norm}.{part}": (C,) for norm in norms for part in ("weight", "bias")}
