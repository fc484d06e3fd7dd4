"""The micro-kernels: emitted vector instructions agree with plain loops, up to rounding."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from softmargin.engines.cpu import emitted, microkernel, plain

TYPES = ["uint8", "int8", "float16", "float32", "float64"]


def _compiled(module):
    scores, gradient = module.add_tile_scores, module.accumulate_tile_gradient

    @numba.njit
    def run(X, Wt, S, A, Gt):
        scores(X, 0, Wt, 0, S, 0, 1, 4, 2)  # with a prefetch, which must not change the result
        scores(X, 0, Wt, 2, S, 0, 0, 4, 3)
        scores(X, 4, Wt, 4, S, 0, 0, 1, 1)
        gradient(X, 0, A, 0, Gt, 0, 1, 4, 2)
        gradient(X, 0, A, 2, Gt, 0, 0, 4, 3)
        gradient(X, 4, A, 4, Gt, 0, 0, 1, 1)

    return run


RUNS = [_compiled(emitted), _compiled(plain)]


@pytest.mark.parametrize("number", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", TYPES)
def test_the_two_forms_agree(dtype, number):
    if dtype == "float16" and not emitted.READS_HALF:
        pytest.skip("this processor has no instruction for float16")
    if dtype == "float64" and number is np.float32:
        pytest.skip("no engine does that")
    for d in (1, 7, 123, 252, 507):
        rng = np.random.default_rng(d)
        X = (rng.normal(size=(5, d)) * 20).astype(dtype)
        stored = X.view(np.uint16) if dtype == "float16" else X
        Wt, A = rng.normal(size=(5, d + 3)).astype(number), rng.normal(size=(5, 5)).astype(number)
        found = []
        for run in RUNS:
            S, Gt = np.ones((5, 5), number), np.ones((5, d + 3), number)
            run(stored, Wt, S, A, Gt)
            found.append((S, Gt))
        eps = np.finfo(number).eps
        exact, sizes = X.astype(np.float64), np.abs(X.astype(np.float64))
        mask = np.ones((5, 5))
        mask[:4, :] = 1.0
        mask[4, :4] = 0.0  # the last row is multiplied with the last class only
        S = 1.0 + mask * (exact @ Wt[:, :d].T.astype(np.float64))
        Gt = 1.0 + (mask * A).T.astype(np.float64) @ exact
        S_bound = (d + 2) * eps * (1.0 + sizes @ np.abs(Wt[:, :d]).T)
        G_bound = 8 * eps * (1.0 + np.abs(A).T @ sizes)
        for scores, gradient in found:
            assert np.all(np.abs(scores - S) <= S_bound)
            assert np.all(np.abs(gradient[:, :d] - Gt) <= G_bound)
            assert np.all(gradient[:, d:] == 1.0)  # padding is not modified


def test_plain_loops_serve_versions_that_were_not_tested(tmp_path):
    assert microkernel.add_tile_scores is emitted.add_tile_scores
    assert microkernel.is_tested(numba="0.61.2", llvmlite="0.44.0rc1")
    assert not microkernel.is_tested(numba="0.69.0dev0+12", llvmlite="0.44.0")
    assert not microkernel.is_tested(numba="0.61.0", llvmlite="1.0")
    code = """
import llvmlite, numpy as np
llvmlite.__version__ = "1.0"
from softmargin.engines.cpu import microkernel, plain, products
assert microkernel.add_tile_scores is plain.add_tile_scores
rng = np.random.default_rng(0)
X, W, S = rng.normal(size=(123, 37)), rng.normal(size=(7, 37)), np.zeros((123, 7))
products.add_scores(X, W, S)
G = np.zeros((7, 37))
products.accumulate_gradient(X, S, G)
print(np.allclose(S, X @ W.T, atol=1e-12), np.allclose(G, S.T @ X, atol=1e-10))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}  # a separate cache
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert run.stdout.split() == ["True", "True"], run.stderr
