"""Dask arrays as data: their blocks are parts."""

from __future__ import annotations

import pickle

import dask.array as da
import numpy as np
import pytest
from scipy.sparse import csr_array

import softmargin as sm
from softmargin.engines.cluster import Cluster
from softmargin.engines.shard import Piece, Recipe
from softmargin.shards import BlockPart, Shards, as_shards
from tests.cluster.conftest import cluster, processes


def arrays(chunks=(300, 300, 150), dtype=np.float32):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 750)
    X = (rng.normal(size=(3, 8))[y] + rng.normal(size=(750, 8))).astype(dtype)
    return X, y, da.from_array(X, chunks=(chunks, 8)), da.from_array(y, chunks=(chunks,))


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_a_fit_of_dask_arrays_has_the_bits_of_the_engine_in_process(loss):
    X, y, dask_X, dask_y = arrays()
    here = sm.LinearClassifier(loss, reg=0.01).fit(dask_X, dask_y)
    with cluster(2, processes=False):
        there = sm.LinearClassifier(loss, reg=0.01, engine="dask").fit(dask_X, dask_y)
    assert there.converged_
    assert there.coef_.tobytes() == here.coef_.tobytes()
    expected = sm.LinearClassifier(loss, reg=0.01).fit(X, y)
    assert there.value_ == pytest.approx(expected.value_, rel=2e-4)
    np.testing.assert_array_equal(there.classes_, [0, 1, 2])


def test_blocks_that_move_between_processes_have_the_same_bits():
    _, _, dask_X, dask_y = arrays((700, 50))
    fits = [sm.minimize(sm.Objective(sm.SquaredHinge(), dask_X, dask_y, 0.01))]
    with processes() as (client, _, _):
        recipe = Recipe(Piece(as_shards(dask_X, dask_y).parts[0], 0, 700, 0, 4096), 1, np.arange(3), np.ones(3), 1)
        with pytest.raises(sm.DataError, match="block 0 of X and y must be NumPy arrays of 700 rows"):
            recipe.part.of(dask_X, dask_y)
        assert len(pickle.dumps(recipe.with_part(recipe.part.of()))) < 1000
        assert client.scheduler is not None
        fits.append(sm.minimize(sm.Objective(sm.SquaredHinge(), dask_X, dask_y, 0.01, engine="dask")))
    assert fits[0].W.tobytes() == fits[1].W.tobytes()


def test_unknown_sizes_of_chunks_are_counted():
    _, _, dask_X, dask_y = arrays()
    known = dask_y >= 0
    expected = sm.LinearClassifier(reg=0.1).fit(dask_X, dask_y).coef_.tobytes()
    for y in (dask_y[known].compute_chunk_sizes(), dask_y[known]):
        assert sm.LinearClassifier(reg=0.1).fit(dask_X[known], y).coef_.tobytes() == expected


def test_chunks_that_do_not_fit_are_refused():
    _, _, dask_X, dask_y = arrays()
    with pytest.raises(sm.DataError, match="X must not be divided by columns, got chunks"):
        sm.LinearClassifier().fit(dask_X.rechunk({1: 4}), dask_y)
    with pytest.raises(sm.DataError, match="X and y must have the same chunks of rows"):
        sm.LinearClassifier().fit(dask_X, dask_y.rechunk(750))


def test_weights_and_sparse_blocks_are_refused():
    _, _, dask_X, dask_y = arrays()
    for fit in (
        lambda: sm.LinearClassifier().fit(dask_X, dask_y, np.ones(750)),
        lambda: sm.Objective(sm.Hinge(), dask_X, dask_y, 0.1, np.ones(750)),
    ):
        with pytest.raises(
            sm.ParameterError, match=r"sample_weight must be None for dask arrays; write weights to"
        ):
            fit()
    sparse = dask_X.map_blocks(csr_array)
    with pytest.raises(
        sm.DataError, match=r"X must be a dask array of NumPy blocks, got blocks of type csr_array; "
    ):
        sm.LinearClassifier().fit(sparse, dask_y)
    hidden = dask_X.map_blocks(csr_array, meta=np.empty((0, 0)))
    with pytest.raises(sm.DataError, match=r"block 0 of X and y must be NumPy arrays of 300 rows, got csr_array"):
        sm.LinearClassifier().fit(hidden, dask_y)


@pytest.mark.parametrize("dtype", ["complex64", object, ">f4", "longdouble"])
def test_other_types_of_numbers_are_refused(dtype):
    _, _, dask_X, dask_y = arrays()
    with pytest.raises(
        sm.DataError, match=r"X must hold real numbers of at most 64 bits in native byte order, got"
    ):
        sm.LinearClassifier().fit(dask_X.astype(dtype), dask_y)


def test_blocks_are_not_sent_with_the_names_of_files():
    _, _, dask_X, dask_y = arrays()
    with cluster(1, processes=False) as client:
        asked = Cluster(client, "")
        asked.on_all = lambda *_: pytest.fail("a block is sent")
        asked.check_files(as_shards(dask_X, dask_y).parts)


def test_class_weights_are_those_of_arrays():
    X, y, dask_X, dask_y = arrays()
    for class_weight in ("balanced", {0: 3.0, 1: 0.0}):
        options = {"reg": 0.01, "class_weight": class_weight, "tol": 1e-6}
        here = sm.LinearClassifier(**options).fit(dask_X, dask_y)
        expected = sm.LinearClassifier(**options).fit(X, y)
        np.testing.assert_array_equal(here.classes_, expected.classes_)
        assert here.lower_bound_ <= expected.value_ * (1 + 1e-12)
        assert expected.lower_bound_ <= here.value_ * (1 + 1e-12)


def test_a_block_at_an_odd_address_has_the_same_bits():
    X, y, _, _ = arrays()
    buffer = bytearray(X.nbytes + 1)
    odd = np.frombuffer(buffer, X.dtype, X.size, offset=1).reshape(X.shape)
    odd[:] = X
    assert not odd.flags.aligned
    fits = []
    for block in (X, odd):
        part = BlockPart("block", len(y), 32, None).of(block, y)
        shards = Shards([part], 8, X.dtype)
        fits.append(sm.minimize(sm.Objective(sm.SquaredHinge(), shards, None, 0.01)))
    assert fits[0].W.tobytes() == fits[1].W.tobytes()
