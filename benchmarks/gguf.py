"""Writes a weights folder as a GGUF file, the format of llama.cpp, so that both engines run the very same weights.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A header, keys with values, what each tensor is
and where it lies, then the tensors' values, each aligned to 32 bytes. There is no tokenizer in the file (`no_vocab`):
whoever compares engines gives ids.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import WeightsError
from engine.folder import read_config
from engine.shape import GPTConfig
from engine.tensor_files import TensorFiles, read_header
from engine.tensor_views import whole_tensors

MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
UINT32, FLOAT32, STRING = 4, 6, 8  # types of a key's value
F32, F16, Q8_0 = 0, 1, 8  # types of a tensor, as ggml numbers them
FILE_TYPES = {F16: 1, Q8_0: 7}
BLOCK = 32  # values of Q8_0 that share a scale
BLOCK_BYTES = 2 + BLOCK

OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
INSIDE = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def write_gguf(folder: Path, path: Path, *, q8: bool = False) -> None:
    """Write the folder's weights, matrices in FP16 or, with `q8`, in Q8_0; vectors in FP32.

    Raises:
        WeightsError: the folder is damaged, or holds blocks that are not written here.
    """
    config, files = read_config(folder), TensorFiles.find(folder)
    if config.model_type == "gpt2" or config.activation != "silu" or config.rope_scaling is not None:
        raise WeightsError(f"{folder}: only plain Llama and Qwen3 blocks are compared with llama.cpp.")
    if config.attention_bias or config.ffn_bias:
        raise WeightsError(f"{folder}: blocks with biases are not compared with llama.cpp.")
    shapes = {
        name: header[stored].shape
        for file, names in files.files.items()
        for header in (read_header(file).tensors,)
        for name, stored in names.items()
    }
    kinds = {name: kind_of(shape, q8) for name, shape in shapes.items()}
    with path.open("wb") as out:
        _write_head(out, config, FILE_TYPES[Q8_0 if q8 else F16], shapes, kinds)
        for name, tensor in whole_tensors(files):
            _pad(out)
            out.write(encode(for_rotary(name, tensor, config), kinds[name]))


def kind_of(shape: tuple[int, ...], q8: bool) -> int:
    """The type that a tensor is written in; a row that is no multiple of 32 cannot be Q8_0."""
    if len(shape) == 1:
        return F32
    return Q8_0 if q8 and shape[-1] % BLOCK == 0 else F16


def gguf_name(name: str) -> str:
    """llama.cpp's name of a tensor, from Hugging Face's."""
    if name in OUTSIDE:
        return OUTSIDE[name]
    layer, _, part = name.removeprefix("model.layers.").removesuffix(".weight").partition(".")
    if part not in INSIDE:
        raise WeightsError(f"{name} has no place in llama.cpp's blocks; compare other weights.")
    return f"blk.{layer}.{INSIDE[part]}.weight"


def for_rotary(name: str, tensor: Tensor, config: GPTConfig) -> Tensor:
    """Queries and keys as llama.cpp turns them: for `llama` it pairs neighbouring channels of a head, where Hugging
    Face (and llama.cpp's `qwen3`) pairs those half a head apart."""
    if config.model_type != "llama" or not name.endswith(("q_proj.weight", "k_proj.weight")):
        return tensor
    rows = tensor.view(-1, 2, config.head_dim // 2, tensor.size(-1))  # (n D, C) -> (n, 2, D/2, C)
    return rows.transpose(1, 2).reshape(tensor.shape)  # -> (n, D/2, 2, C) -> (n D, C)


def encode(tensor: Tensor, kind: int) -> bytes:
    """A tensor's values as they lie in the file."""
    if kind == Q8_0:
        return quantize(tensor.float().numpy()).tobytes()
    return tensor.to(torch.float32 if kind == F32 else torch.float16).contiguous().numpy().tobytes()


def quantize(values: NDArray[np.float32]) -> NDArray[np.void]:
    """Q8_0: for each 32 values a scale in FP16, then 32 whole numbers from -127 to 127."""
    blocks = values.reshape(-1, BLOCK)  # (rows, C) -> (n, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127  # (n, 1)
    whole = np.rint(blocks / np.where(scale == 0, 1, scale))  # (n, 32)
    out = np.empty(len(blocks), dtype=[("scale", "<f2"), ("values", "i1", BLOCK)])
    out["scale"], out["values"] = scale[:, 0], whole
    return out


def size_of(shape: tuple[int, ...], kind: int) -> int:
    """Bytes that a tensor takes."""
    count = int(np.prod(shape))
    return {F32: 4 * count, F16: 2 * count, Q8_0: count // BLOCK * BLOCK_BYTES}[kind]


def keys_of(config: GPTConfig, file_type: int) -> Iterator[tuple[str, int | float | str]]:
    """What the file says of the model."""
    arch = config.model_type
    yield "general.architecture", arch
    yield "general.file_type", file_type
    yield "general.quantization_version", 2
    yield "tokenizer.ggml.model", "no_vocab"
    yield f"{arch}.vocab_size", config.vocab_size
    yield f"{arch}.context_length", config.block_size
    yield f"{arch}.embedding_length", config.n_embd
    yield f"{arch}.block_count", config.n_layer
    yield f"{arch}.feed_forward_length", config.n_ffn
    yield f"{arch}.attention.head_count", config.n_head
    yield f"{arch}.attention.head_count_kv", config.kv_heads
    yield f"{arch}.attention.key_length", config.head_dim
    yield f"{arch}.attention.value_length", config.head_dim
    yield f"{arch}.attention.layer_norm_rms_epsilon", float(config.norm_eps)
    yield f"{arch}.rope.dimension_count", config.head_dim
    yield f"{arch}.rope.freq_base", float(config.rope_theta)


def _write_head(
    out: BinaryIO, config: GPTConfig, file_type: int, shapes: dict[str, tuple[int, ...]], kinds: dict[str, int]
) -> None:
    keys = dict(keys_of(config, file_type))
    out.write(MAGIC + struct.pack("<IQQ", VERSION, len(shapes), len(keys)))
    for key, value in keys.items():
        out.write(_string(key))
        if isinstance(value, str):
            out.write(struct.pack("<I", STRING) + _string(value))
        elif isinstance(value, float):
            out.write(struct.pack("<If", FLOAT32, value))
        else:
            out.write(struct.pack("<II", UINT32, value))
    offset = 0
    for name, shape in shapes.items():
        out.write(_string(gguf_name(name)) + struct.pack("<I", len(shape)))
        out.write(struct.pack(f"<{len(shape)}Q", *reversed(shape)))  # the innermost first
        out.write(struct.pack("<IQ", kinds[name], offset))
        offset += -(-size_of(shape, kinds[name]) // ALIGNMENT) * ALIGNMENT
    _pad(out)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _pad(out: BinaryIO) -> None:
    out.write(bytes(-out.tell() % ALIGNMENT))
