"""The torch model's weights under the names, and in the shapes, that Hugging Face gives them in files."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from engine.blocks import Linear
from engine.model import GPT
from engine.tensor_files import TensorFiles


def whole_tensors(files: TensorFiles) -> Iterator[tuple[str, Tensor]]:
    """Each tensor of the files by name, one in memory at a time; the errors are those of `TensorFiles.read`."""
    name, parts = None, list[Tensor]()
    for part_of, _, rows in files.read():
        if part_of != name and name is not None:
            yield name, torch.cat(parts)
        if part_of != name:
            name, parts = part_of, []
        parts.append(torch.from_numpy(rows))
    if name is not None:
        yield name, torch.cat(parts)


def tensor_views(model: GPT) -> dict[str, Tensor]:
    """The core's weights under Hugging Face's names and in its shapes: views, so that writing into them loads a model
    and reading them saves it. Fused matrices come apart; spare units are left out."""
    return _gpt2_views(model) if model.config.model_type == "gpt2" else _llama_views(model)


def _llama_views(model: GPT) -> dict[str, Tensor]:
    config = model.config
    views = {
        "model.embed_tokens.weight": model.embedding.weight.detach(),
        "model.norm.weight": model.norm.weight.detach(),
    }
    if not config.tie_embeddings:
        views["lm_head.weight"] = model.head.weight.detach()
    for i, block in enumerate(model.layers()):
        layer, attention, feed_forward = f"model.layers.{i}.", block.attention, block.feed_forward
        views |= _parts(attention.qkv, [f"{layer}self_attn.{x}_proj" for x in "qkv"])
        views |= _parts(attention.out, [f"{layer}self_attn.o_proj"])
        views |= _parts(feed_forward.gate_up, [f"{layer}mlp.gate_proj", f"{layer}mlp.up_proj"], rows=config.n_ffn)
        views |= _parts(feed_forward.down, [f"{layer}mlp.down_proj"], columns=config.n_ffn)
        views[f"{layer}input_layernorm.weight"] = block.attention_norm.weight.detach()
        views[f"{layer}post_attention_layernorm.weight"] = block.feed_forward_norm.weight.detach()
        for name, norm in (("q_norm", attention.q_norm), ("k_norm", attention.k_norm)):
            if norm is not None:
                views[f"{layer}self_attn.{name}.weight"] = norm.weight.detach()
    return views


def _gpt2_views(model: GPT) -> dict[str, Tensor]:
    config = model.config
    assert model.positions is not None
    views = {
        "transformer.wte.weight": model.embedding.weight.detach(),
        "transformer.wpe.weight": model.positions.weight.detach(),
    }
    if not config.tie_embeddings:
        views["lm_head.weight"] = model.head.weight.detach()
    norms = {"transformer.ln_f": model.norm}
    for i, block in enumerate(model.layers()):
        layer, attention, feed_forward = f"transformer.h.{i}.", block.attention, block.feed_forward
        maps = {
            f"{layer}attn.c_attn.": (attention.qkv.weight, attention.qkv.bias),
            f"{layer}attn.c_proj.": (attention.out.weight, attention.out.bias),
            f"{layer}mlp.c_fc.": (feed_forward.gate_up.weight[: config.n_ffn], feed_forward.gate_up.bias),
            f"{layer}mlp.c_proj.": (feed_forward.down.weight[:, : config.n_ffn], feed_forward.down.bias),
        }
        for name, (weight, bias) in maps.items():
            assert bias is not None
            views[f"{name}weight"] = weight.detach().T  # (n_out, n_in) -> (n_in, n_out), as GPT-2 stores them
            views[f"{name}bias"] = bias.detach()[: weight.size(0)]
        norms |= {f"{layer}ln_1": block.attention_norm, f"{layer}ln_2": block.feed_forward_norm}
    for name, norm in norms.items():
        views |= {f"{name}.{part}": parameter.detach() for part, parameter in norm.named_parameters()}
    return views


def _parts(
    linear: Linear, names: list[str], *, rows: int | None = None, columns: int | None = None
) -> dict[str, Tensor]:
    """Weights and biases of the maps that lie one above the other in a matrix, each cut to its core."""
    views = {}
    for name, weight in zip(names, torch.split(linear.weight.detach(), linear.parts), strict=True):
        views[f"{name}.weight"] = weight[:rows, :columns]
    if linear.bias is not None:
        for name, bias in zip(names, torch.split(linear.bias.detach(), linear.parts), strict=True):
            views[f"{name}.bias"] = bias[:rows]
    return views
