"""The comparison with llama.cpp, on a tiny model: our engines' rows, and the file that llama.cpp would read."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.decode import instruction_sets, main
from benchmarks.gguf import F16, F32, Q8_0, write_gguf
from engine.checkpoint import load_weights
from engine.kernel import available
from engine.tensor_views import tensor_views

FORMATS = {F32: np.dtype("<f4"), F16: np.dtype("<f2"), Q8_0: np.dtype([("scale", "<f2"), ("values", "i1", 32)])}
FIGURES = (
    "tokens_per_second", "tokens_per_second_full", "characters_per_second", "first_token_ms", "share_of_read_floor",
    "peak_rss_mb",
)  # fmt: skip


class Gguf:
    """A file read by the letter of the format's document: what it says of itself, and its tensors."""

    def __init__(self, path: Path) -> None:
        self.raw, self.at = path.read_bytes(), 4
        assert self.raw[:4] == b"GGUF"
        version, tensors, keys = (*self.take("I"), *self.take("QQ"))
        assert version == 3
        self.keys = {self.text(): self.value() for _ in range(keys)}
        infos = [(self.text(), self.take(f"{self.take('I')[0]}Q"), *self.take("IQ")) for _ in range(tensors)]
        start = -(-self.at // 32) * 32
        assert not any(self.raw[self.at : start])
        self.tensors = {name: self.tensor(shape, kind, start + at) for name, shape, kind, at in infos}
        assert max(start + at for *_, at in infos) < len(self.raw)

    def take(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + form, self.raw, self.at)
        self.at += struct.calcsize("<" + form)
        return found

    def text(self) -> str:
        (length,) = self.take("Q")
        self.at += length
        return self.raw[self.at - length : self.at].decode()

    def value(self) -> object:
        kind = self.take("I")[0]
        return self.text() if kind == 8 else self.take({4: "I", 6: "f"}[kind])[0]

    def tensor(self, shape: tuple[int, ...], kind: int, at: int) -> torch.Tensor:
        assert at % 32 == 0
        form, count = FORMATS[kind], int(np.prod(shape))
        values = np.frombuffer(self.raw, form, count // (32 if kind == Q8_0 else 1), at)
        if kind == Q8_0:
            values = values["scale"][:, None].astype("f4") * values["values"]
        return torch.from_numpy(values.astype("f4")).reshape(shape[::-1])


@pytest.mark.parametrize("q8", [False, True])
def test_a_gguf_file_holds_the_folders_weights(q8: bool, tiny_weights: Path, tmp_path: Path) -> None:
    write_gguf(tiny_weights, tmp_path / "tiny.gguf", q8=q8)
    written, model = Gguf(tmp_path / "tiny.gguf"), load_weights(tiny_weights).model
    config, ours = model.config, tensor_views(model)
    assert written.keys["general.architecture"] == "llama"
    assert written.keys["general.file_type"] == (7 if q8 else 1)
    assert written.keys["llama.vocab_size"] == config.vocab_size
    assert written.keys["llama.attention.head_count"] == config.n_head
    assert len(written.tensors) == len(ours)
    near = {"rtol": 0, "atol": 0.01 if q8 else 0}
    for name, stored in (("model.embed_tokens", "token_embd"), ("model.layers.1.mlp.down_proj", "blk.1.ffn_down")):
        torch.testing.assert_close(written.tensors[f"{stored}.weight"], ours[f"{name}.weight"], **near)
    assert torch.equal(written.tensors["output_norm.weight"], ours["model.norm.weight"])
    # llama.cpp turns neighbouring channels of a head, Hugging Face channels half a head apart
    half = config.head_dim // 2
    keys, theirs = ours["model.layers.0.self_attn.k_proj.weight"], written.tensors["blk.0.attn_k.weight"]
    torch.testing.assert_close(theirs[0::2][:half], keys[:half], **near)
    torch.testing.assert_close(theirs[1::2][:half], keys[half : 2 * half], **near)


@pytest.mark.slow
def test_engines_take_turns(tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    isa = instruction_sets()[-1]
    command = ["--weights", str(tiny_weights), "--threads", "1", "--rounds", "1", "--isa", isa]
    main([*command, "--engines", "native-fp16,torch-fp32", "--check", "--json"])
    rows = {row["engine"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == {"torch-fp32"} | ({"native-fp16"} if available()[0] else set())
    for row in rows.values():
        assert all(row[figure] > 0 for figure in FIGURES), row
        assert (row["threads"], row["isa"]) == (1, isa)
        assert row["logits_differ"] < 0.01

    main([*command, "--engines", "torch-fp16"])
    table = capsys.readouterr().out
    assert f"{isa}, 1 thread; floor" in table
    assert [line.split()[0] for line in table.splitlines()[3:]] == ["torch-fp16"]


def test_what_cannot_run_is_said(tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--weights", str(tiny_weights), "--threads", "1", "--rounds", "1"]
    with pytest.raises(SystemExit, match="No engine is left"):
        main([*command, "--engines", "nonsense"])
    with pytest.raises(SystemExit, match="name it among --engines"):
        main([*command, "--engines", "torch-fp16", "--check"])
    with pytest.raises(SystemExit, match="There is no weights folder"):
        main(["--weights", str(tiny_weights / "none"), "--engines", "torch"])
