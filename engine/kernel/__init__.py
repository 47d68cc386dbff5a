"""The native decode step: packed weights and a cache in C, where it was built; `docs/kernel.md` describes it."""

from engine.kernel.kernel import Kernel
from engine.kernel.library import available, isas, unknown
from engine.kernel.sampler import NativeSampler

__all__ = ["Kernel", "NativeSampler", "available", "isas", "unknown"]
