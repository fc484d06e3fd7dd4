"""Types of X: what is a number is read exactly, all else is an error with its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import softmargin as sm
from tests.support.cases import (
    ENGINES,
    ESTIMATORS,
    LOSSES,
    agree,
    blobs,
    every_door_reads,
    fitted,
    model_at,
    near,
    peak_of,
    point,
    saved,
)
from tests.support.command_line import run, run_refused
from tests.support.files import write
from tests.support.refusals import refused
from tests.support.sources import HAS_ARROW

pytestmark = pytest.mark.usefixtures("either_engine")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16])
def test_small_integers_never_wrap(dtype: Any, tmp_path: Path) -> None:
    limits = np.iinfo(dtype)
    X = np.random.default_rng(0).integers(limits.min, limits.max, (90, 5), dtype, endpoint=True)
    X[:3] = [[limits.max] * 5, [limits.min] * 5, [limits.max, limits.min] * 2 + [0]]
    every_door_reads(X, tmp_path)
    y = np.arange(90) % 3
    pair = [sm.LinearClassifier(reg=0.1, scaling="standard", tol=1e-6).fit(Z, y) for Z in (X, X.astype(float))]
    agree(*pair)


def test_bools_are_0_and_1(tmp_path: Path) -> None:
    every_door_reads(np.random.default_rng(0).random((90, 5)) < 0.4, tmp_path)


def test_float16_is_read_in_place(tmp_path: Path) -> None:
    X = blobs(60, 5)[0].astype(np.float16)
    every_door_reads(X, tmp_path)
    np.save(tmp_path / "h.npy", X)
    data = sm.load_dataset(tmp_path / "h.npy")
    assert (data.X.dtype, isinstance(data.X, np.memmap)) == (np.float16, True)
    assert "float16" in run("info", tmp_path / "h.npy").text
    n = 100_000
    large, y = np.random.default_rng(0).random((n, 40)).astype(np.float16), np.arange(n) % 3
    W, b = point(40)
    objective = sm.Objective(sm.CrossEntropy(), large, y, 0.1, engine="cpu")
    assert peak_of(lambda: objective.value_and_grad(W, b)) < large.nbytes / 2
    assert peak_of(lambda: sm.LinearClassifier(reg=1.0, tol=0.5).fit(large, y)) < 2 * large.nbytes  # no float32
    assert peak_of(lambda: model_at(W, b).predict(large)) < 3 * large.nbytes


@pytest.mark.parametrize("dtype", [">f4", ">i2"])
def test_big_endian_numbers_are_read_and_answers_are_native(dtype: str, tmp_path: Path) -> None:
    X, y = blobs()
    every_door_reads((X * 50).astype(dtype), tmp_path)
    W, b = point()
    plain = sm.Objective(sm.CrossEntropy(), X, y, 0.1, np.arange(1.0, 91.0)).value(W, b)
    weights = np.arange(1, 91).astype(">f8")
    swapped = sm.Objective(sm.CrossEntropy(), X.astype(">f8"), y.astype(">i8"), 0.1, weights)
    assert swapped.value(W, b) == near(plain, rel=1e-14)
    for labels in (y.astype(">i4"), np.array(["a", "b", "c"], ">U1")[y], y.astype(">f8")):
        for estimator in ESTIMATORS:
            classifier = estimator.fit(X.astype(">f8"), labels)
            assert classifier.classes_.dtype.isnative
            assert classifier.predict(X).dtype.isnative
            assert classifier.classes_.tolist() == np.unique(labels).tolist()
    assert fitted(tmp_path, X, y.astype(">i4")).classes.dtype == np.int64


def test_numbers_beyond_float64_are_an_error(tmp_path: Path) -> None:
    X, y = blobs()
    wide = X.astype(np.longdouble)
    if np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        pytest.skip("longdouble is float64 here")
    wide[3, 2] = np.longdouble("1e400")
    refused(lambda: sm.Objective(sm.Hinge(), wide, y, 0.1), "64 bits", str(wide.dtype))
    refused(lambda: sm.Objective(sm.Hinge(), X, y, 0.1, np.abs(wide[:, 2])), "sample_weight[3]")
    classifier = sm.LinearClassifier(reg=0.1).fit(X, y)
    for estimator in ESTIMATORS:
        refused(lambda estimator=estimator: estimator.fit(wide, y), "64 bits", str(wide.dtype))
        refused(lambda estimator=estimator: estimator.fit(X, y, np.abs(wide[:, 2])), "sample_weight[3]")
    refused(lambda: classifier.predict(wide), "64 bits", str(wide.dtype))
    refused(lambda: model_at(*point()).predict(wide), "64 bits", str(wide.dtype))
    run_refused(tmp_path, "fit", saved(tmp_path, wide, y), words=("d.npz", str(wide.dtype)))


def test_strings_dates_complex_and_masked_arrays_are_an_error(tmp_path: Path) -> None:
    X, y = blobs(12)
    classifier, made = sm.LinearClassifier(reg=0.1).fit(X, y), model_at(*point())
    wrong = {
        "<U": np.round(X, 3).astype("<U9"),
        "|S": np.round(X, 3).astype("S9"),
        "datetime64": np.full(X.shape, np.datetime64("2024-01-01")),
        "timedelta64": np.full(X.shape, np.timedelta64(3, "s")),
        "complex": X.astype(complex),
        "mask": np.ma.masked_greater(X, 1.0),
    }
    for word, Z in wrong.items():
        refused(lambda Z=Z: sm.Objective(sm.Hinge(), Z, y, 0.1), "X ", word)
        refused(lambda Z=Z: made.predict(Z), "X ", word)
        for estimator in ESTIMATORS:
            refused(lambda Z=Z, estimator=estimator: estimator.fit(Z, y), "X ", word)
        refused(lambda Z=Z: classifier.predict(Z), "X ", word)
        refused(lambda Z=Z: sm.choose(Z, y, LOSSES), "X ", word)
        if word != "mask":  # of which a file keeps nothing
            run_refused(tmp_path, "fit", saved(tmp_path, Z, y), words=("d.npz", word))
    for word in ("<U", "datetime64", "timedelta64"):  # numbers written as strings are none
        Z = wrong[word].astype(object)
        for call in (
            lambda Z=Z: classifier.fit(Z, y),
            lambda Z=Z: classifier.predict(Z),
            lambda Z=Z: made.predict(Z),
            lambda Z=Z: sm.Objective(sm.Hinge(), Z, y, 0.1),
            lambda Z=Z: sm.Hinge().values(Z, y),
        ):
            refused(call, "row 0", "column 0", "47 more")
    for S in (np.ma.masked_greater(X, 1.0), X.astype(complex), *wrong.values()):
        for loss in LOSSES:
            refused(lambda loss=loss, S=S: loss.values(S, y), "scores")
            refused(lambda loss=loss, S=S: loss.gradient(S, y), "scores")
        refused(lambda S=S: sm.softmax(S), "scores")
    for loss in LOSSES:
        refused(lambda loss=loss: loss.values(X, np.ma.masked_equal(y, 2)), "y is a masked array")
    frame = pd.DataFrame({"a": X[:, 0], "when": pd.date_range("2024-01-01", periods=12)})
    for call in (classifier.predict, lambda Z: classifier.fit(Z, y), lambda Z: sm.Hinge().values(Z, y)):
        refused(lambda call=call: call(frame), "row 0, column 1", "11 more", "Timestamp")
        refused(lambda call=call: call(frame[["when"]]), "datetime64")
    for weights in (np.ma.masked_less(np.arange(12.0), 3.0), X[:, 0].astype(complex), ["1"] * 12):
        refused(lambda weights=weights: classifier.fit(X, y, weights), "sample_weight")
        refused(lambda weights=weights: sm.Objective(sm.Hinge(), X, y, 0.1, weights), "sample_weight")
    refused(lambda: classifier.fit(X, np.ma.masked_equal(y, 2)), "y is a masked array")
    for word in ("complex", "datetime64", "timedelta64", "|S"):
        labels = y.astype("M8[D]" if word == "datetime64" else "m8[s]" if word == "timedelta64" else word)
        for estimator in ESTIMATORS:
            refused(lambda estimator=estimator, y=labels: estimator.fit(X, y), "y ", word)
        refused(lambda y=labels: sm.Objective(sm.Hinge(), X, y, 0.1), "y ", word)
        refused(lambda y=labels: sm.choose(X, y, LOSSES), "y ", word)
    write(tmp_path / "t.csv", "a,when,label\n1,2024-01-01,u\n2,2024-01-02,v\n")
    assert "columns left out: 'when'" in run("info", tmp_path / "t.csv").err


def test_object_arrays_are_numbers_or_an_error_with_its_place(tmp_path: Path) -> None:
    X, y = blobs(30)
    objects = X.astype(object)
    classifier = sm.LinearClassifier(reg=0.1).fit(X, y)
    again = sm.LinearClassifier(reg=0.1).fit(objects, y)
    assert np.array_equal(again.coef_, classifier.coef_)
    made, (W, b) = model_at(*point()), point()
    value = sm.Objective(sm.Hinge(), X, y, 0.1).value(W, b)
    objects[3, :3] = np.float64(X[3, 0]), Decimal(X[3, 1]), Fraction(X[3, 2])
    for Z in (objects, X.tolist(), pd.DataFrame(objects)):
        assert np.array_equal(classifier.predict(Z), classifier.predict(X))
        assert np.array_equal(made.scores(Z), made.scores(X))
        assert sm.Objective(sm.Hinge(), Z, y, 0.1).value(W, b) == value
        assert np.array_equal(sm.Hinge().values(Z, y), sm.Hinge().values(X, y))
    doors: tuple[Callable[[Any], Any], ...] = (
        lambda Z: sm.Objective(sm.Hinge(), Z, y, 0.1),
        lambda Z: sm.choose(Z, y, LOSSES),
        made.predict,
        lambda Z: sm.LinearClassifier().fit(Z, y),
        lambda Z: sm.LinearClassifierCV().fit(Z, y),
        classifier.predict,
    )
    for wrong in ("a word", "1.5", b"1", None, pd.NA, [1.0], 1j, np.timedelta64(3, "s"), np.ones((3, 3))):
        holed = objects.copy()
        holed[7, 2] = wrong
        for door in doors:
            refused(lambda Z=holed, door=door: door(Z), "row 7, column 2", "numbers")
        refused(lambda Z=holed: sm.softmax(Z), "scores", "row 7, column 2")
    refused(lambda: sm.Hinge().values(X, ["0"] * 29 + [None]), "y[29] is None")
    holed[7, 2], holed[9, 3] = "a word", None
    for Z in (holed, holed.tolist()):  # of a list with a word in it NumPy makes an array of words
        for door in doors:
            refused(lambda Z=Z, door=door: door(Z), "'a word' in row 7, column 2", "1 more")
    holed[7, 2], holed[9, 3] = 10**400, 1.0
    for door in doors:
        refused(lambda Z=holed, door=door: door(Z), "X ", "outside the range of float64")
    holed[7, 2] = np.nan
    for door in doors:
        refused(lambda Z=holed, door=door: door(Z), "NaN in row 7, column 2")
    refused(lambda: classifier.fit(X, y, [1.0] * 29 + [None]), "sample_weight", "None in row 29")
    np.save(tmp_path / "X.npy", objects, allow_pickle=True)
    refused(lambda: sm.load_dataset(tmp_path / "X.npy"), "X.npy", "Python objects")
    run_refused(tmp_path, "fit", tmp_path / "X.npy", words=("X.npy", "Python objects"))


def test_nullable_columns_keep_integers_and_a_missing_value_is_an_error_with_its_place(tmp_path: Path) -> None:
    X, y = blobs(30)
    whole = pd.DataFrame({"a": X[:, 0], "n": pd.array(np.arange(30) % 7, "Int64")})
    labels = pd.Series(y + 2**53, dtype="Int64")  # as float64 two of these were one
    for dtype in ("Int64", "UInt64", "category", *(("int64[pyarrow]",) if HAS_ARROW else ())):
        for estimator in ESTIMATORS:
            classifier = estimator.fit(whole, labels.astype(dtype))
            assert classifier.classes_.dtype.kind in "iu"
            assert classifier.classes_.tolist() == [2**53, 2**53 + 1, 2**53 + 2]
            assert classifier.score(whole, labels.astype(dtype)) == classifier.score(whole, labels.to_numpy())
        losses = classifier.sample_losses(whole, labels.astype(dtype))
        assert np.array_equal(losses, classifier.sample_losses(whole, labels.to_numpy()))
    plain = sm.LinearClassifier(reg=0.1).fit(whole.to_numpy(np.float64), y)
    assert np.array_equal(sm.LinearClassifier(reg=0.1).fit(whole, labels).coef_, plain.coef_)
    objective = sm.Objective(sm.CrossEntropy(), whole.to_numpy(np.float64), pd.Series(y, dtype="Int64"), 0.1)
    assert objective.value(*point(2)) == sm.Objective(sm.CrossEntropy(), whole.to_numpy(np.float64), y, 0.1).value(
        *point(2)
    )
    holed = whole.copy()
    holed.loc[[7, 9], "n"] = pd.NA
    for estimator in ESTIMATORS:
        refused(lambda estimator=estimator: estimator.fit(holed, y), "row 7", "column 1", "1 more")
    words = pd.Series(np.array(["a", "b", "c"])[y])
    for given in (labels, (labels > 2**53).astype("boolean"), words, words.astype("string"), words.astype(object)):
        missing = given.copy()
        missing[11] = pd.NA
        for estimator in ESTIMATORS:
            refused(lambda estimator=estimator, y=missing: estimator.fit(whole, y), "y[11] is ", "label")
        refused(lambda y=missing: sm.choose(whole, y, LOSSES), "y[11] is ", "label")
        refused(lambda y=missing: sm.Objective(sm.Hinge(), X, y, 0.1), "y[11] is ", "label")
        listed = missing.tolist()
        refused(lambda y=listed: sm.LinearClassifier().fit(whole, y), "y[11] is ", "label")
    classifier = sm.LinearClassifier(reg=0.1).fit(whole, y)
    made = model_at(*point(2))
    for call in (classifier.predict, made.predict, lambda Z: sm.Objective(sm.Hinge(), Z, y, 0.1)):
        refused(lambda call=call: call(holed), "NaN in row 7, column 1", "1 more")
    assert np.array_equal(made.scores(whole), made.scores(whole.to_numpy(np.float64)))
    large = pd.DataFrame(np.arange(4e6).reshape(-1, 20)).astype("Int64")
    assert peak_of(lambda: model_at(*point(20)).predict(large)) < 4 * 8 * large.size  # no object for every number
    write(tmp_path / "t.csv", "a,b,label\n1,2,u\n3,,v\n")
    words = ("t.csv line 3", "'b'", "empty")
    refused(lambda: sm.load_dataset(tmp_path / "t.csv"), *words)
    run_refused(tmp_path, "fit", tmp_path / "t.csv", words=words)
    if not HAS_ARROW:
        pytest.skip("needs pyarrow")
    holed.assign(label=y).to_parquet(tmp_path / "t.parquet")
    run_refused(tmp_path, "fit", tmp_path / "t.parquet", words=("t.parquet row 7", "'n'", "null"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_in_the_features_are_an_error_with_its_place(value: float, tmp_path: Path) -> None:
    X, y = blobs(30)
    holed = X.copy()
    holed[7, 3] = holed[9, 1] = holed[20, 0] = value
    word = "nan" if np.isnan(value) else "inf"

    def place(message: str) -> None:
        assert "row 7, column 3" in message
        assert re.search(r"2 more|3 in all", message)
        assert word in message.lower()

    classifier = sm.LinearClassifier(reg=0.1).fit(X, y)
    for Z in (holed, sp.csr_array(holed)):
        for loss in LOSSES:
            place(refused(lambda loss=loss, Z=Z: sm.minimize(sm.Objective(loss, Z, y, 0.1))))
        place(refused(lambda Z=Z: model_at(*point()).predict(Z)))
        for estimator in ESTIMATORS:
            place(refused(lambda Z=Z, estimator=estimator: estimator.fit(Z, y)))
        place(refused(lambda Z=Z: classifier.predict(Z)))
    for engine in ENGINES:
        place(refused(lambda engine=engine: sm.Objective(sm.CrossEntropy(), holed, y, 0.1, engine=engine)))
    fitted(tmp_path, X, y)
    data = saved(tmp_path, holed, y, name="holed")
    place(run_refused(tmp_path, "fit", data, words=("holed.npz",)))
    for verb in ("predict", "evaluate"):
        place(run_refused(tmp_path, verb, tmp_path / "m.safetensors", data))
