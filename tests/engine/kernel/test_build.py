"""The kernel's C code by itself, under sanitizers, and an install that has no compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
KERNEL = ROOT / "engine" / "kernel"
COMPILER = shutil.which(os.environ.get("CC", "cc"))
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # another sanitizer's library
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, env={**plain, **environment}
    )


def compiler_with_sanitizers(folder: Path) -> str:
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    tried = run([COMPILER, *SANITIZED, "empty.c", "-o", "empty"], folder)
    if tried.returncode or run(["./empty"], folder).returncode:
        pytest.skip(f"{COMPILER} has no sanitizers here")
    return COMPILER


@pytest.mark.skipif(sys.platform == "win32", reason="the kernel is not built on Windows")
def test_every_instruction_set_is_right_under_address_and_undefined_sanitizers(tmp_path: Path) -> None:
    sources = [str(path) for path in sorted(KERNEL.glob("*.c"))]
    built = run(
        [
            compiler_with_sanitizers(tmp_path), "-std=gnu11", "-O0", "-ffp-contract=off", "-Wno-psabi", *SANITIZED,
            f"-I{KERNEL}", str(Path(__file__).with_name("loops.c")), *sources, "-lm", "-lpthread", "-o", "loops",
        ],
        tmp_path,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    done = run(["./loops"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "plain: right" in done.stdout.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="the kernel is not built on Windows")
@pytest.mark.parametrize("compiler", ["false", "a-compiler-that-is-not-there"])
def test_without_a_compiler_the_build_goes_on_and_says_so_in_one_line(tmp_path: Path, compiler: str) -> None:
    shutil.copy(ROOT / "setup.py", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copy(ROOT / "LICENSE", tmp_path)
    shutil.copytree(KERNEL, tmp_path / "engine" / "kernel", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    done = run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], tmp_path, CC=compiler)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if "kernel" in line]
    assert len(said) == 1
    assert said[0].endswith("torch does its work.")
    assert not list((tmp_path / "engine" / "kernel").glob("*.so"))
