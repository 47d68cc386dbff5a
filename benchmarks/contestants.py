"""python -m benchmarks.contestants SPEC: one engine of `benchmarks.decode`, in a process of its own.

It loads its weights, says so, then answers requests, one JSON object a line each way: so each engine has its own
threads and its own peak of memory, and only one of them works at a time. SPEC is a `Spec` in JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

WARM = 2  # tokens in front of each measurement: threads wake, caches fill
FILL = 64  # ids that are read at once while the context is filled; the engine's own prefill is measured apart


@dataclass(frozen=True)
class Spec:
    """What a process runs."""

    engine: str  # one of decode.ENGINES, or floor
    weights: str  # a folder; llama.cpp's is a GGUF file
    threads: int
    context: int  # positions


class Contestant(Protocol):
    about: str  # what it is, in words

    def read(self, ids: Sequence[int], position: int) -> Any:
        """Read ids from a position on, forgetting what stood there. Logits (V,) behind the last."""


class Ours:
    """The engine's own decoders. The parent names the instruction set in the environment, as a user would."""

    def __init__(self, spec: Spec) -> None:
        import torch

        from engine.checkpoint import read_model
        from engine.decoder import Decoder
        from engine.folder import read_config
        from engine.native import load_kernel
        from engine.tensor_files import TensorFiles
        from engine.torch_decoder import TorchDecoder

        torch.set_num_threads(spec.threads)
        config, files = read_config(Path(spec.weights)), TensorFiles.find(Path(spec.weights))
        self.decoder: Decoder
        if spec.engine.startswith("native"):
            kernel = load_kernel(config, files, bits=8 if spec.engine == "native-int8" else 16, threads=spec.threads)
            self.decoder, self.about = kernel, f"{kernel.isa}, {kernel.threads} threads"
        else:
            self.decoder = TorchDecoder(
                read_model(config, files, "float16" if spec.engine == "torch-fp16" else "float32")
            )
            self.about = f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"

    def read(self, ids: Sequence[int], position: int) -> Any:
        self.decoder.truncate(position)
        return self.decoder.rows(ids)[-1]


class Llama:
    """llama.cpp by its C interface: ids in, logits out, no Python class of it in between."""

    def __init__(self, spec: Spec) -> None:
        import ctypes

        import llama_cpp

        self.api, self.vocab = llama_cpp, 0
        self.quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        loading = llama_cpp.llama_model_default_params()
        loading.use_extra_bufts = False  # on a CPU with AMX they slow single rows down, and some versions crash in Q8_0
        model = llama_cpp.llama_model_load_from_file(spec.weights.encode(), loading)
        running = llama_cpp.llama_context_default_params()
        running.n_ctx, running.n_threads, running.n_threads_batch = spec.context, spec.threads, spec.threads
        if spec.engine.endswith("noflash"):  # the default is where it can run; on a CPU that is not always faster
            running.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = llama_cpp.llama_init_from_model(model, running) if model else None
        if model is None or context is None:
            raise SystemExit(f"llama.cpp does not load {spec.weights}.")
        self.context, self.memory = context, llama_cpp.llama_get_memory(context)
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self.about = f"llama-cpp-python {llama_cpp.__version__}, {llama_cpp.llama_print_system_info().decode()}"

    def read(self, ids: Sequence[int], position: int) -> Any:
        self.api.llama_memory_seq_rm(self.memory, 0, position, -1)
        tokens = (self.api.llama_token * len(ids))(*ids)  # the batch points into it, and does not keep it
        if self.api.llama_decode(self.context, self.api.llama_batch_get_one(tokens, len(ids))):
            raise SystemExit(f"llama.cpp did not read {len(ids)} ids at position {position}.")
        return self.api.llama_get_logits_ith(self.context, -1)[: self.vocab]


class Floor:
    """Nothing but reading the FP16 weights that a token needs: no decoding of these can be faster."""

    def __init__(self, spec: Spec) -> None:
        import torch

        from engine.folder import read_config
        from engine.kernel import available, unknown
        from engine.native import load_kernel
        from engine.tensor_files import TensorFiles

        folder = Path(spec.weights)
        config = read_config(folder)
        self.once: Callable[[], object]
        if available()[0] and unknown(config) is None:
            self.once = load_kernel(config, TensorFiles.find(folder), threads=spec.threads).read_once
            self.about = "the kernel reads its weights once"
            return
        torch.set_num_threads(spec.threads)
        unread = 0 if config.tie_embeddings else config.vocab_size * config.n_embd  # of which one row is looked up
        self.once = torch.ones((config.n_weights - unread) // 2).sum  # as many bytes in FP32
        self.about = "torch sums as many bytes"

    def read(self, ids: Sequence[int], position: int) -> Any:
        self.once()


CONTESTANTS: dict[str, Callable[[Spec], Contestant]] = {"native": Ours, "torch": Ours, "llama": Llama, "floor": Floor}


def answer(contestant: Contestant, request: dict[str, Any]) -> dict[str, Any]:
    """What was asked for: `fill`, `first`, `write` or `greedy`."""
    ids, position = request["ids"], request.get("position", 0)
    if request["do"] == "fill":
        for start in range(0, len(ids), FILL):
            contestant.read(ids[start : start + FILL], start)
        return {}
    if request["do"] == "greedy":
        logits = [float(value) for value in contestant.read(ids, 0)]
        written, latest = list[int](), logits
        for n in range(request["count"]):
            written.append(max(range(len(latest)), key=latest.__getitem__))
            latest = [float(value) for value in contestant.read(written[-1:], len(ids) + n)]
        return {"logits": logits, "ids": written}
    if request["do"] == "write":
        for n in range(WARM):
            contestant.read(ids[n : n + 1], position + n)
        ids, position = ids[WARM:], position + WARM
        began = time.perf_counter()
        for n, token in enumerate(ids):
            contestant.read([token], position + n)
    else:
        contestant.read(ids[:1], 0)
        began = time.perf_counter()
        contestant.read(ids, 0)
    return {"seconds": time.perf_counter() - began}


def peak_mb() -> float:
    """This process's peak of resident memory in MB of 10^6 bytes, as Linux counts it."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6, 1)


def main() -> None:
    spec = Spec(**json.loads(sys.argv[1]))
    contestant = CONTESTANTS[spec.engine.partition("-")[0]](spec)
    print(json.dumps({"about": contestant.about}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        told = {"peak_rss_mb": peak_mb()} if request["do"] == "peak" else answer(contestant, request)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
