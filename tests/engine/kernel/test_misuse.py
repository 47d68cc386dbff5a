"""Whatever a caller does, there is a KernelError or the right result, and what was there before is still there."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import KernelError
from engine.kernel import Kernel, unknown
from engine.model import GPTConfig
from engine.shape import UnitGroup
from tests.engine.kernel.material import ISAS, SMALL, make_model, needs_kernel

pytestmark = needs_kernel
ROOT = Path(__file__).parents[3]


def in_process(script: str, **environment: str) -> str:
    """What a script prints in a process of its own, which may not end by a signal."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "config",
    [
        GPTConfig(vocab_size=9, n_embd=8, n_head=2, model_type="gpt2", activation="gelu_new"),
        GPTConfig(vocab_size=9, n_embd=8, n_head=2, activation="gelu"),
        GPTConfig(vocab_size=9, n_embd=8, n_head=2, head_width=3),
        GPTConfig(vocab_size=9, n_embd=8, n_head=3, n_kv_head=2, head_width=2),
        GPTConfig(vocab_size=9, n_embd=8, n_head=0),
        GPTConfig(vocab_size=9, n_embd=8, n_head=-2),
        GPTConfig(vocab_size=0),
        GPTConfig(vocab_size=9, block_size=0),
        GPTConfig(vocab_size=9, block_size=-1),
        GPTConfig(vocab_size=9, n_layer=0),
        GPTConfig(vocab_size=9, n_layer=10**6),
        GPTConfig(vocab_size=9, n_embd=2**40),
        GPTConfig(vocab_size=9, n_ffn=-(2**40)),
        GPTConfig(vocab_size=2**31),
        GPTConfig(vocab_size=9, n_session=-1),
        GPTConfig(vocab_size=9, rope_theta=0.0),
    ],
)
def test_a_shape_that_the_kernel_does_not_know(config: GPTConfig) -> None:
    with pytest.raises(KernelError):
        Kernel(config)


def test_a_shape_of_every_number_at_its_limit_is_more_memory_than_there_is() -> None:
    most = 2**22
    config = GPTConfig(most, 1024, 4096, 1024, most, most, head_width=1024, tie_embeddings=False, n_session=most)
    assert Kernel.bytes_needed(config, threads=64) > 2**56
    with pytest.raises(KernelError, match="memory"):
        Kernel(config, threads=64)


@pytest.mark.parametrize("given", [{"bits": 4}, {"group": -1}, {"bits": 2**40}, {"group": 2**40}, {"isa": "mmx"}])
def test_a_setting_that_the_kernel_does_not_know(given: dict[str, Any]) -> None:
    with pytest.raises(KernelError):
        Kernel(SMALL, **given)


def test_any_number_of_threads_is_brought_into_range() -> None:
    assert Kernel(SMALL, threads=-5).threads == 1
    assert 1 <= Kernel(SMALL, threads=2**40).threads <= 64


@pytest.mark.parametrize(
    ("part", "layer", "tensor", "first_row"),
    [
        ("gate", 0, torch.zeros(72, 47), 0),
        ("gate", 0, torch.zeros(73, 48), 0),
        ("gate", 0, torch.zeros(72, 48), 1),
        ("gate", 0, torch.zeros(2, 48), -1),
        ("gate", 0, torch.zeros(2, 48), 2**31 - 1),
        ("gate", 0, torch.zeros(2, 48), 2**32),
        ("gate", 2, torch.zeros(72, 48), 0),
        ("gate", -1, torch.zeros(72, 48), 0),
        ("gate", 2**32, torch.zeros(72, 48), 0),
        ("gate", 0, torch.zeros(48), 0),
        ("gate", 0, torch.zeros(0, 48), 0),
        ("gate", 0, torch.zeros(()), 0),
        ("gate", 0, torch.zeros(1, 72, 48), 0),
        ("gate", 0, torch.zeros(72, 48, device="meta"), 0),
        ("gate", 0, torch.zeros(72, 48, dtype=torch.complex64), 0),
        ("gate", 0, torch.zeros(72, 48).to_sparse(), 0),
        ("gate", 0, torch.full((72, 48), torch.nan), 0),
        ("gate", 0, torch.full((72, 48), torch.inf), 0),
        ("gate", 0, torch.full((72, 48), 1e300, dtype=torch.float64), 0),
        ("gate", 0, torch.full((72, 48), 65505.0), 0),
        ("gate", 0, torch.full((72, 48), torch.inf, dtype=torch.bfloat16), 0),
        ("ffn_norm", 0, torch.zeros(49), 0),
        ("ffn_norm", 0, torch.full((48,), torch.nan), 0),
        ("final_norm", 1, torch.zeros(48), 0),
        ("head", 0, torch.zeros(70, 48), 0),  # tied
        ("q_norm", 0, torch.zeros(12), 0),  # qwen3 alone
        ("qkv_bias", 0, torch.zeros(144), 0),
        ("gates", 0, torch.zeros(72, 48), 0),
    ],
)
def test_a_tensor_that_does_not_fit(part: str, layer: int, tensor: torch.Tensor, first_row: int) -> None:
    model = make_model(SMALL)
    kernel = Kernel.from_model(model)
    before = kernel.logits([1, 2])
    with pytest.raises(KernelError):
        kernel.put(part, layer, tensor, first_row)
    assert torch.equal(kernel.logits([1, 2], 0), before)


def test_a_kernel_that_lacks_weights_says_which() -> None:
    kernel = Kernel(SMALL)
    kernel.put("embedding", 0, torch.zeros(70, 48))
    kernel.put("final_norm", 0, torch.zeros(48))
    with pytest.raises(KernelError, match="attention_norm of layer 0"):
        kernel.logits([1])
    kernel.put("attention_norm", 0, torch.zeros(48))
    kernel.put("qkv", 0, torch.zeros(96, 48), 48)
    for _ in range(2):  # the same rows again are no others
        kernel.put("qkv", 0, torch.zeros(47, 48))
        with pytest.raises(KernelError, match="qkv of layer 0"):
            kernel.logits([1])
    assert kernel.length == 0


def test_a_model_with_a_weight_that_is_no_number() -> None:
    model = make_model(SMALL)
    with torch.no_grad():
        model.embedding.weight[3, 3] = torch.nan
    with pytest.raises(KernelError):
        Kernel.from_model(model)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("ids", "position"),
    [
        ([], None), ([70], None), ([-1], None), ([2**63], None), ([2**64 + 1], None), (["1"], None), ([1.5], None),
        ([1] * 79, None), ([1] * 200, 0), ([1], 3), ([1], -1), ([1], 2**31), ([1], 2**32), ([1], -(2**70)),
        ([1, 2, 70], 0),
    ],
)  # fmt: skip
def test_tokens_that_cannot_be_read_leave_the_cache_as_it_was(isa: str, ids: list[Any], position: int | None) -> None:
    kernel = Kernel.from_model(make_model(SMALL), isa=isa)
    kernel.logits([1, 2])
    with pytest.raises(KernelError):
        kernel.logits(ids, position)
    assert kernel.length == 2
    assert torch.equal(kernel.logits([3]), kernel.logits([1, 2, 3], 0))


def test_positions_that_are_not_there() -> None:
    kernel = Kernel.from_model(make_model(SMALL))
    kernel.logits([1, 2, 3])
    for length in (-1, 4, 2**40):
        with pytest.raises(KernelError):
            kernel.truncate(length)
    for start, end in ((-1, 1), (2, 1), (0, 4), (0, 2**32), (2**32, 2**32)):
        with pytest.raises(KernelError):
            kernel.drop(start, end)
    assert kernel.length == 3
    kernel.drop(3, 3)
    kernel.drop(0, 3)
    assert kernel.length == 0


def test_units_that_do_not_fit_change_nothing() -> None:
    kernel = Kernel.from_model(make_model(SMALL, taught=True))
    before = kernel.logits([1, 2])
    good = UnitGroup(torch.ones(6, 48), torch.ones(6, 48), torch.ones(48, 6))
    for bad in (
        UnitGroup(good.gate[:5], good.up, good.down),
        UnitGroup(good.gate, good.up, good.down * torch.nan),
        UnitGroup(good.gate * 1e6, good.up, good.down),
    ):
        with pytest.raises(KernelError):
            kernel.attach([good, bad])
    with pytest.raises(KernelError):
        kernel.attach([good])
    assert torch.equal(kernel.logits([1, 2], 0), before)


def test_after_closing_there_is_nothing_left_to_use() -> None:
    kernel = Kernel.from_model(make_model(SMALL), threads=2)
    kernel.close()
    kernel.close()
    for use in (
        lambda: kernel.logits([1]), lambda: kernel.put("embedding", 0, torch.zeros(70, 48)), lambda: kernel.drop(0, 0),
        lambda: kernel.truncate(0), lambda: kernel.attach(None), lambda: kernel.isa, lambda: kernel.threads,
        kernel.read_once,
    ):  # fmt: skip
        with pytest.raises(KernelError, match="closed"):
            use()


def test_activations_without_bound_give_logits_and_no_crash() -> None:
    model = make_model(replace(SMALL, n_long_term=0, n_session=0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(60000.0)
    for isa in ISAS:
        assert Kernel.from_model(model, isa=isa).logits([1, 2, 3]).shape == (70,)


def test_without_memory_there_is_an_error() -> None:
    found = in_process("""
        import resource
        from engine.kernel import Kernel
        from engine.errors import KernelError
        from engine.model import GPTConfig
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        for positions in (512, 2**18):
            try:
                Kernel(GPTConfig(4096, positions, 512, 8, 2048, 8192), threads=2)
            except KernelError as error:
                print(str(error) != "")
        print(Kernel(GPTConfig(40, 16, 1, 2, 8, 8)).nbytes > 0)
    """)
    assert found.split() == ["True"] * 3


def test_a_child_of_fork_goes_on_alone() -> None:
    found = in_process("""
        import os, torch
        from engine.kernel import Kernel
        from tests.engine.kernel.material import SMALL, make_model
        kernel = Kernel.from_model(make_model(SMALL), threads=2)
        kernel.logits([1, 2])
        child = os.fork()
        same = torch.equal(kernel.logits([3]), kernel.logits([1, 2, 3], 0))
        if child:
            same &= os.waitpid(child, 0)[1] == 0
            kernel.close()
            print(same)
        else:
            kernel.close()
            os._exit(0 if same else 1)
    """)
    assert found == "True"


def test_a_library_that_is_none_or_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("no library")
    for name in ("text.so", "missing.so"):
        found = in_process(
            "from engine.kernel import available; print(available())", MINIATURE_KERNEL_LIBRARY=str(tmp_path / name)
        )
        assert found.startswith("(False, ")


def test_the_environment_names_an_instruction_set() -> None:
    script = """
        from engine.errors import KernelError
        from engine.kernel import Kernel
        from engine.model import GPTConfig
        try:
            print(Kernel(GPTConfig(40, 16, 1, 2, 8, 8)).isa)
        except KernelError as error:
            print(error)
    """
    assert in_process(script, MINIATURE_KERNEL_ISA="plain") == "plain"
    assert "mmx" in in_process(script, MINIATURE_KERNEL_ISA="mmx")


def test_what_is_unknown_says_so() -> None:
    assert unknown(SMALL) is None
    assert "gpt2" in str(unknown(replace(SMALL, model_type="gpt2")))
