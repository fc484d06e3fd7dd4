"""X is checked once on its way from a public function to the engine, and is not copied there."""

import numpy as np
import pytest
from scipy.sparse import csr_array, lil_array

import softmargin as sm
from softmargin import samples, sparse
from softmargin.cli import main
from softmargin.errors import DataError
from softmargin.estimators import LinearClassifier, LinearClassifierCV  # before anything is patched
from softmargin.samples import Labelled, Samples, as_features

OPTIONS = {"regs": [0.1, 0.01], "cv": 3}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    return rng.normal(size=(3, 7))[y] + rng.normal(size=(90, 7)), np.array(["a", "b", "c"])[y]


@pytest.fixture
def checks(monkeypatch):
    """Names of the checks, and how many rows each of their calls has read."""
    made = []

    def counted(module, name):
        check = getattr(module, name)

        def counting(X, *more):
            found = check(X, *more)
            made.append((name, (X if found is None else found).shape[0]))
            return found

        return counting

    for name in ("as_features", "check_finite", "unit_rows"):
        monkeypatch.setattr(samples, name, counted(samples, name))
    monkeypatch.setattr(sparse, "_check_sparse", counted(sparse, "_check_sparse"))
    return made


def fit(X, y, **options):
    LinearClassifier(reg=0.1, **options).fit(X, y)


def search(X, y, **options):
    LinearClassifierCV(**OPTIONS, **options).fit(X, y)


def compare(X, y):
    sm.compare(X, y, ["hinge", "cross_entropy"], **OPTIONS)


def choose(X, y):
    sm.choose(X, y, ["hinge", "cross_entropy"], [0.1])


def objective(X, y):
    sm.Objective(sm.Hinge(), X, np.unique(y, return_inverse=True)[1], 0.1)


@pytest.mark.parametrize("call", [fit, search, compare, choose, objective])
def test_X_is_checked_once(call, data, checks):
    X, y = data
    call(X, y)
    assert checks == [("as_features", 90), ("check_finite", 90)]
    checks.clear()
    call(csr_array(X), y)
    assert checks == [("_check_sparse", 90), ("as_features", 90), ("check_finite", 90)]


@pytest.mark.parametrize("call", [fit, search])
def test_rows_are_divided_by_their_lengths_once(call, data, checks):
    call(*data, normalize_rows=True)
    assert checks == [("as_features", 90), ("check_finite", 90), ("unit_rows", 90)]


@pytest.mark.parametrize("more", [[], ["--quick"], ["--reg", "0.1", "--loss", "hinge"]])
def test_the_command_line_checks_X_once(more, data, checks, tmp_path):
    np.savez(tmp_path / "d.npz", X=data[0], y=data[1])
    source = str(tmp_path / "d.npz")
    with pytest.raises(SystemExit, match="0"):
        main(["fit", source, "-o", str(tmp_path / "m.safetensors"), "--normalize-rows", *more])
    assert checks == [("as_features", 90), ("check_finite", 90), ("unit_rows", 90)]
    checks.clear()
    with pytest.raises(SystemExit, match="0"):
        main(["compare", source, "--loss", "hinge", "--loss", "cross_entropy"])
    assert checks == [("as_features", 90), ("check_finite", 90)]


def test_checked_samples_are_taken_as_they_are(data):
    X, y = data
    labelled = Labelled.check(X, y)
    assert labelled.X is X
    assert Labelled.check(labelled, None) is labelled
    fitted = sm.LinearClassifier(reg=0.1).fit(labelled, None)
    again = sm.LinearClassifier(reg=0.1).fit(X, y)
    assert np.array_equal(fitted.coef_, again.coef_)
    assert fitted.n_features_in_ == 7
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    units = labelled.with_unit_rows()
    assert units.with_unit_rows() is units
    assert sm.LinearClassifier(reg=0.1).fit(units, None).preprocessing_.rows == "l2"


def test_an_objective_of_checked_samples_is_the_same(data):
    X, y = data
    codes = np.unique(y, return_inverse=True)[1]
    weights = np.arange(90) % 4
    record = Samples.check(X, codes, weights)
    assert record.X is X
    assert record.weights.sum() == pytest.approx(1.0, rel=1e-15)
    W, b = np.random.default_rng(1).normal(size=(7, 3)), np.zeros(3)
    value = sm.Objective.of(sm.Hinge(), record, 0.1).value(W, b)
    assert value == sm.Objective(sm.Hinge(), X, codes, 0.1, weights).value(W, b)


def test_arrays_that_are_used_in_place_share_their_memory(data):
    X = data[0]
    for array in (X, X.astype(np.uint8), np.asfortranarray(X), X[::2]):
        assert as_features(array) is array
    sparse = csr_array(X)
    assert np.shares_memory(as_features(sparse).data, sparse.data)
    assert as_features(lil_array(X)).toarray() == pytest.approx(X)


@pytest.mark.parametrize(
    ("part", "place", "value"), [("indices", 1, 7), ("indices", 0, -1), ("indptr", 1, 700), ("indptr", 0, 1)]
)
@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
def test_sparse_arrays_that_reach_beyond_their_shape(data, form, part, place, value):
    X = csr_array(data[0]).asformat(form)
    getattr(X, part)[place] = 90 if (part, value, form) == ("indices", 7, "csc") else value
    with pytest.raises(DataError, match=f"X is not a valid {form.upper()} matrix"):
        as_features(X)


def test_nan_is_found_by_every_public_function(data):
    X, y = data
    X[7, 3] = np.nan
    for call in (fit, search, compare, choose, objective):
        for given in (X, csr_array(X)):
            with pytest.raises(DataError, match=r"Input X contains NaN in row 7, column 3\."):
                call(given, y)


def test_class_weights_of_zero_leave_a_class_without_samples(data):
    fitted = sm.LinearClassifier(reg=0.1, class_weight={"b": 0.0}).fit(*data)
    assert "b" not in fitted.classes_
