"""The Triton kernels without a GPU: their results in the interpreter, and their machine code for Hopper."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import ROOT

triton = pytest.importorskip("triton", reason="Triton is not installed")

TYPES = {"*bf16": "*fp32", "*fp16": "*fp32", "*fp32": "*fp32", "*fp64": "*fp64"}
"""The type of the slopes, and of the scores."""

VECTORS = ("offsets", "bias", "values", "others", "tops", "totals", "shares")
KERNELS = {
    "margin_rows": [{"SQUARED": False}, {"SQUARED": True}],
    "exponential_rows": [{"KEEP": False}, {"KEEP": True}],
    "probability_rows": [{}],
}
CASES = [(name, more, slopes) for name, choices in KERNELS.items() for more in choices for slopes in TYPES]


def test_the_interpreter_gives_what_plain_torch_gives():
    run = subprocess.run(
        [sys.executable, "-m", "tests.torch.interpreted"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "passed\n"


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


def usage(cubin: Path) -> str:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    return subprocess.run(
        [tool, "--dump-resource-usage", cubin], capture_output=True, text=True, check=True
    ).stdout


def machine_code(name: str, more: dict[str, bool], slopes: str, step: int, warps: int) -> bytes:
    """Compile a kernel for an H100 or H200."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from softmargin.torch import kernels

    kernel = getattr(kernels, name)
    constants = {**more, "HAS_BIAS": True, "STEP": step}
    given = {"scores": TYPES[slopes], "slopes": slopes, "targets": "*i64", "n_columns": "i32"}
    given |= dict.fromkeys(VECTORS, TYPES[slopes])
    signature = {part: "constexpr" if part in constants else given[part] for part in kernel.arg_names}
    source = ASTSource(kernel, signature, constexprs=constants)
    target = GPUTarget("cuda", 90, 32)
    return triton.compile(source, target=target, options={"num_warps": warps}).asm["cubin"]


@pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="the interpreter compiles nothing")
@pytest.mark.parametrize(("name", "more", "slopes"), CASES)
def test_compiled_for_hopper_nothing_is_spilled(name, more, slopes, tmp_path):
    from softmargin.torch import kernels

    cubin = tmp_path / "kernel.cubin"
    cubin.write_bytes(machine_code(name, more, slopes, kernels.STEP, kernels.WARPS))
    text = usage(cubin)
    assert int(re.search(r"STACK:(\d+)", text)[1]) == 0, text
    assert int(re.search(r"REG:(\d+)", text)[1]) <= 128, text


def test_spilling_is_seen(tmp_path):
    """The exponential of float64 with fewer lanes."""
    cubin = tmp_path / "kernel.cubin"
    cubin.write_bytes(machine_code("exponential_rows", {"KEEP": True}, "*fp64", 1024, 4))
    assert int(re.search(r"STACK:(\d+)", usage(cubin))[1]) > 0
