"""The native kernel (docs/kernel.md) as an optional extension; everything else about the package is in pyproject.toml.

Where it cannot be built the install goes on, and the engine computes with torch.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = "engine/kernel"
SOURCES = ("isa", "plain", "avx2", "avx512", "neon", "pool", "model", "pack", "step", "floor", "sampler", "draft")
HEADERS = ("half", "isa", "kernel", "lanes", "model", "pack", "pool")

NATIVE = Extension(
    "engine.kernel.native",
    sources=[f"{FOLDER}/{name}.c" for name in SOURCES],
    depends=[f"{FOLDER}/{name}.h" for name in HEADERS],
    # Instruction sets are chosen while running, so none is named here. Never -ffast-math: it would set flush-to-zero
    # for the whole process. No contraction: what is fused is said in the code, or results would hang on the compiler.
    extra_compile_args="-std=gnu11 -O3 -g0 -ffp-contract=off -fvisibility=hidden -fno-math-errno -Wno-psabi".split(),
    libraries=["m", "pthread"],
    optional=True,
    py_limited_api=True,  # it calls nothing of Python, so one build serves every version
)


class BuildKernel(build_ext):
    """Builds the kernel where there is a compiler, and says in one line where not."""

    def build_extension(self, ext: Any) -> None:
        try:
            super().build_extension(ext)
        except Exception as error:
            self.announce(str(error))
            compiler = os.environ.get("CC", "the C compiler")
            print(f"The native kernel was not built, as {compiler} failed or is missing; torch does its work.")


setup(
    ext_modules=[] if sys.platform == "win32" else [NATIVE],
    cmdclass={"build_ext": BuildKernel},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
