"""From the tensors of a weights folder into the native kernel, some rows at a time: no torch model stands between."""

from __future__ import annotations

from typing import Literal, NamedTuple

from engine.errors import KernelError
from engine.kernel import Kernel, unknown
from engine.shape import GPTConfig
from engine.stored_shapes import stored_shapes
from engine.tensor_files import TensorFiles

IN_A_BLOCK = {  # part of the kernel, by Hugging Face's name
    "self_attn.q_proj": "qkv", "self_attn.k_proj": "qkv", "self_attn.v_proj": "qkv", "self_attn.o_proj": "out",
    "self_attn.q_norm": "q_norm", "self_attn.k_norm": "k_norm", "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "gate", "mlp.up_proj": "up", "mlp.down_proj": "down",
}  # fmt: skip
OUTSIDE = {"model.embed_tokens": "embedding", "model.norm": "final_norm", "lm_head": "head"}


class Place(NamedTuple):
    part: str
    layer: int
    first_row: int


def load_kernel(config: GPTConfig, files: TensorFiles, *, bits: Literal[8, 16] = 16, threads: int = 1) -> Kernel:
    """A kernel of these weights; its spare units are blank.

    Raises:
        WeightsError: other tensors than the shape says, or values that are no numbers.
        KernelError: the kernel does not know the shape, a weight does not fit into FP16, or there is no memory.
    """
    if (reason := unknown(config)) is not None:
        raise KernelError(reason)
    files.check(stored_shapes(config))
    kernel = Kernel(config, bits=bits, threads=threads)
    try:
        for name, first, rows in files.read():
            place = place_of(name, config)
            kernel.put(place.part, place.layer, rows, place.first_row + first)
    except BaseException:
        kernel.close()
        raise
    return kernel


def place_of(name: str, config: GPTConfig) -> Place:
    """Where a tensor belongs, by its name in the file."""
    owner, kind = name.rsplit(".", 1)  # "weight" or "bias"
    if owner in OUTSIDE:
        return Place(OUTSIDE[owner], 0, 0)
    _, _, layer, owner = owner.split(".", 3)  # model.layers.3.mlp.up_proj
    first = {"self_attn.k_proj": config.n_head, "self_attn.v_proj": config.n_head + config.kv_heads}.get(owner, 0)
    part = IN_A_BLOCK[owner] + ("_bias" if kind == "bias" else "")
    return Place(part, int(layer), first * config.head_dim)
