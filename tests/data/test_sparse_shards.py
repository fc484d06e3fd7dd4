"""Shards of CSR matrices: sums of the sparse engine, and files that only look valid."""

from __future__ import annotations

import io
import pickle
import zipfile
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array, load_npz, random_array, save_npz, vstack

import softmargin as sm
from softmargin.engines import make_engine
from softmargin.engines.chunked import ChunkedEngine
from softmargin.engines.runner import InProcess
from tests.data.test_shards import check_against_cpu


def rows_of(n, n_features=50, density=0.1, seed=0):
    rng = np.random.default_rng(seed)
    X = csr_array(random_array((n, n_features), density=density, rng=rng, data_sampler=rng.standard_normal))
    return X, rng.integers(0, 3, n)


def save(folder, X, y, sizes, **options):
    borders = np.cumsum([0, *sizes])
    for k, (start, stop) in enumerate(pairwise(borders)):
        save_npz(folder / f"{k}.npz", X[start:stop], **options)
        np.save(folder / f"{k}_y.npy", y[start:stop])
    return folder


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_hinge", "hinge"])
def test_a_fit_is_that_of_the_sparse_array(tmp_path, loss, compressed):
    X, y = rows_of(700)
    data = sm.open_shards(save(tmp_path, X, y, (300, 1, 0, 399), compressed=compressed))
    assert data.is_sparse
    assert (data.shape, data.dtype) == ((700, 50), np.float64)
    assert [part.n_rows for part in data.parts] == [300, 1, 0, 399]
    assert not any(part.mapped for part in data.parts)
    tol = {"tol": 1e-4} if loss == "hinge" else {}
    fitted = check_against_cpu(data, X, y, loss=loss, **tol)
    assert fitted.preprocessing_.scaling == "none"  # "auto" does not scale sparse features


def test_one_file_has_the_same_bits_for_any_group(tmp_path):
    X, y = rows_of(20_000, density=0.02)
    save_npz(tmp_path / "X.npz", X)
    np.save(tmp_path / "y.npy", y)
    data = sm.open_shards(tmp_path)
    [part] = data.parts
    assert part.row_bytes == -(-(12 * X.nnz + 4 * 20_000) // 20_000)
    found = []
    for group in (1, 2, 8):
        # Many small chunks, as of a large file.
        small = sm.open_shards(tmp_path / "X.npz")
        object.__setattr__(small.parts[0], "row_bytes", 1 << 14)
        engine = ChunkedEngine(small, InProcess(), 1, group)
        assert len(engine._pieces) == -(-5 // group)
        found.append(sm.minimize(sm.Objective.of(sm.CrossEntropy(), small, 0.01, engine=lambda s, n, e=engine: e)))
    assert len({fit.W.tobytes() for fit in found}) == 1
    for rows in (slice(0, 20_000), slice(4096, 9000), slice(19_999, 20_000)):
        some = part.features(rows)
        assert (some.indices.dtype, some.indptr.dtype) == (np.int32, np.int32)
        assert abs(some - X[rows]).max() == 0
        assert some.shape == X[rows].shape


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_moments_and_constant_columns(tmp_path, offset):
    """Three parts, whose moments are merged: columns without zeros, of zeros, of one entry, and constant."""
    X, y = rows_of(900, 6, density=0.3)
    dense = X.toarray()
    dense[:, 0] += offset + 1.0
    dense[:, 1] = 0.0
    dense[:, 2] = np.arange(900) == 17
    dense[:, 3] = 0.1 + offset
    X = csr_array(dense)
    data = sm.open_shards(save(tmp_path, X, y, (100, 500, 300)))
    one = sm.Objective.of(sm.CrossEntropy(), data, 0.01, engine="chunked")
    other = sm.Objective(sm.CrossEntropy(), X, y, 0.01, engine="cpu")
    exact = dense.astype(np.longdouble)
    np.testing.assert_allclose(one.moments.mean, exact.mean(axis=0).astype(float), rtol=1e-14)
    # The means of the parts, whose distance is part of the variance, are rounded to eps * offset.
    noise = 1e-30 + 4.0 * np.finfo(float).eps * offset
    np.testing.assert_allclose(one.moments.variance, exact.var(axis=0).astype(float), rtol=1e-13, atol=noise)
    np.testing.assert_array_equal(one.constant_columns, [False, True, False, True, False, False])
    np.testing.assert_array_equal(one.constant_columns, other.constant_columns)
    if offset == 0.0:
        assert check_against_cpu(data, X, y, scaling="standard").preprocessing_.scaling == "standard"


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_types_of_entries(tmp_path, dtype):
    X, y = rows_of(200)
    X = csr_array(abs(X) * 3).astype(dtype)
    data = sm.open_shards(save(tmp_path, X, y, (120, 80)))
    assert data.dtype == dtype
    check_against_cpu(data, X, y, reg=0.1)


def test_unsorted_and_repeated_entries_and_large_indices(tmp_path):
    """What SciPy writes need not be canonical: the rows are sorted, and repeated entries are added."""
    data, indices = np.array([1.0, 2, 3, 4, 5, 6]), np.array([3, 0, 3, 2, 1, 0])
    X = csr_array((data, indices, np.array([0, 3, 3, 6])), shape=(3, 5))
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    assert not X.has_canonical_format
    save_npz(tmp_path / "a.npz", X)
    np.save(tmp_path / "a_y.npy", np.arange(3))
    [part] = sm.open_shards(tmp_path).parts
    found = part.features(slice(0, 3))
    assert found.has_canonical_format
    assert found.indices.dtype == np.int32
    np.testing.assert_array_equal(found.toarray(), X.toarray())
    np.testing.assert_array_equal(part.features(slice(1, 3)).toarray(), X.toarray()[1:])
    wide = csr_array((np.ones(2), np.array([1, 2**31]), np.array([0, 1, 2])), shape=(2, 2**31 + 1))
    save_npz(tmp_path / "wide.npz", wide)
    [part] = sm.open_shards(tmp_path / "wide.npz", labelled=False).parts
    assert part.features(slice(1, 2)).indices.dtype == np.int64
    assert part.features(slice(1, 2)).indices.tolist() == [2**31]


def test_infinite_entries_are_named(tmp_path):
    X, y = rows_of(300)
    row = int(np.flatnonzero(np.diff(X.indptr))[-1])
    X.data[X.indptr[row]] = np.inf
    with pytest.raises(
        sm.DataError, match=rf"1\.npz: Input X contains infinity \(inf\) in row {row - 200}, column"
    ):
        sm.LinearClassifier().fit(sm.open_shards(save(tmp_path, X, y, (200, 100))), None)


def test_views_of_chunks_copy_no_entries(tmp_path):
    X, y = rows_of(300)
    engine = make_engine("chunked", sm.open_shards(save(tmp_path, X, y, (300,))))
    [shard] = engine._work.loaded
    assert np.shares_memory(shard.chunks[0].engine.samples.X.data, shard.X.data)
    assert abs(vstack([chunk.engine.samples.X for chunk in shard.chunks]) - X).max() == 0


def write(path, **arrays):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=True)
            archive.writestr(f"{name}.npy", stream.getvalue())


class Evil:
    def __reduce__(self):
        return open, ("evil", "w")


VALID = {"indices": np.array([0, 1]), "indptr": [0, 1, 2], "format": b"csr", "shape": [2, 3], "data": np.ones(2)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.array([Evil(), 1], dtype=object)}, "contains Python objects, which are never loaded"),
        ({"indices": np.array([Evil(), 1], dtype=object)}, "contains Python objects, which are never loaded"),
        ({"format": np.array(Evil(), dtype=object)}, "contains Python objects, which are never loaded"),
        ({"format": b"csc"}, "must hold a matrix in csr format, got csc"),
        ({"format": b"\xff"}, "must hold a matrix in csr format, got"),
        ({"shape": [3, 3]}, r"its arrays do not match its shape \[3, 3\]"),
        ({"shape": [-1, 3]}, r"its arrays do not match its shape \[-1, 3\]"),
        ({"shape": [2.0, 3.0]}, "its arrays do not match its shape"),
        ({"shape": [2, 0]}, r"must have at least one feature, got shape \(2, 0\)"),
        ({"data": np.ones(3)}, "its arrays do not match its shape"),
        ({"data": np.ones((2, 1))}, "its arrays do not match its shape"),
        ({"indptr": [0.0, 1.0, 2.0]}, "indices and indptr must be integers"),
        ({"indptr": [0, 2, 1]}, "inconsistent indptr"),
        ({"indptr": [0, 1, 3]}, "inconsistent indptr"),
        ({"indptr": [-1, 1, 2]}, "inconsistent indptr"),
        ({"indices": [0, 3]}, r"indices must lie in 0 … 2, got 3"),
        ({"indices": np.array([0, 2**32], np.int64)}, r"indices must lie in 0 … 2, got 4294967296"),
        ({"indices": [-1, 1]}, r"indices must lie in 0 … 2, got -1"),
        ({"data": np.ones(2, np.float16)}, "must hold real numbers that SciPy supports.*got float16"),
        ({"data": np.ones(2, ">f8")}, "in native byte order, got >f8"),
        ({"data": np.ones(2, complex)}, "must hold real numbers that SciPy supports.*got complex128"),
    ],
)
def test_damaged_matrices_are_named(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "a_y.npy", np.arange(2))
    write(tmp_path / "a.npz", **VALID)
    sm.open_shards(tmp_path).parts[0].features(slice(0, 2))
    write(tmp_path / "a.npz", **(VALID | change))
    with pytest.raises(sm.DataError, match=rf"a\.npz.*{message}"):
        sm.open_shards(tmp_path).parts[0].features(slice(0, 2))
    assert not (tmp_path / "evil").exists()


def test_damaged_archives_are_named(tmp_path):
    X, y = rows_of(2000)
    save(tmp_path, X, y, (2000,))
    path = tmp_path / "0.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    data = sm.open_shards(tmp_path)
    with pytest.raises(sm.DataError, match=r"0\.npz is damaged or not a \.npz archive"):
        data.parts[0].features(slice(0, 2000))
    path.write_bytes(content[:1000])
    with pytest.raises(sm.DataError, match=r"0\.npz is damaged or not a \.npz archive"):
        sm.open_shards(tmp_path)


def test_what_does_not_fit_is_named(tmp_path):
    X, y = rows_of(200)
    save(tmp_path, X, y, (100, 100))
    save_npz(tmp_path / "1.npz", X[100:, :40])
    with pytest.raises(sm.DataError, match=r"1\.npz must have 50 features of type float64 like .*0\.npz, got 40"):
        sm.open_shards(tmp_path)
    save_npz(tmp_path / "1.npz", X[100:])
    (tmp_path / "1_y.npy").unlink()
    with pytest.raises(sm.DataError, match=r"1\.npz must have a file of labels beside it, 1_y\.npy"):
        sm.open_shards(tmp_path)
    np.save(tmp_path / "1_y.npy", np.arange(99))
    with pytest.raises(sm.DataError, match=r"1_y\.npy must hold 100 labels, got shape \(99,\)"):
        sm.open_shards(tmp_path)
    np.savez(tmp_path / "1.npz", X=np.ones((2, 50)))
    with pytest.raises(
        sm.DataError, match=r"1\.npz must be a file of scipy\.sparse\.save_npz, got the arrays \['X'\]"
    ):
        sm.open_shards(tmp_path)
    save_npz(tmp_path / "1.npz", csc_array(X[100:]))
    with pytest.raises(sm.DataError, match=r"1\.npz must hold a matrix in csr format, got csc"):
        sm.open_shards(tmp_path)


def test_a_file_that_was_replaced_is_an_error_and_parts_are_small(tmp_path):
    X, y = rows_of(2000)
    data = sm.open_shards(save(tmp_path, X, y, (2000,)))
    part = pickle.loads(pickle.dumps(data.parts[0]))
    assert len(pickle.dumps(part)) < 1000
    assert abs(part.features(slice(0, 2000)) - load_npz(tmp_path / "0.npz")).max() == 0
    save_npz(tmp_path / "0.npz", X[::-1])
    for read in (part.check, lambda: part.features(slice(0, 10))):
        with pytest.raises(sm.DataError, match=r"0\.npz has changed since it was opened"):
            read()
