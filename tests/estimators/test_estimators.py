"""The scikit-learn estimator: its conventions, its agreement with the functions, its errors."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import softmargin as sm
from softmargin.errors import ConvergenceWarning, DataError, ParameterError

pytestmark = pytest.mark.usefixtures("either_engine")

NAMES = ("hinge", "squared_hinge", "cross_entropy")


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


_EXPECTED = {
    f"check_sample_weight_equivalence_on_{kind}_data": "two fits of the hinge agree to their gaps, not to 1e-7"
    for kind in ("dense", "sparse")
}


@pytest.mark.parametrize(
    "classifier",
    [
        *(sm.LinearClassifier(name) for name in NAMES),
        sm.LinearClassifierCV(regs=[1.0, 0.1, 0.01], cv=3),  # the default path takes too long here, and passes too
    ],
    ids=[*NAMES, "cross-validated"],
)
def test_check_estimator(classifier):
    expected = _EXPECTED if getattr(classifier, "loss", "") == "hinge" else {}
    results = check_estimator(classifier, on_skip=None, expected_failed_checks=expected)
    allowed = {"passed", "skipped", "xfail"} if expected else {"passed", "skipped"}
    assert {result["status"] for result in results} <= allowed
    skipped = [result["check_name"] for result in results if result["status"] == "skipped"]
    assert skipped in ([], ["check_array_api_input"])  # scikit-learn's own, for want of an environment variable
    assert len(results) > 50
    passed = {result["check_name"] for result in results if result["status"] == "passed"}
    assert {f"check_estimator_sparse_{what}" for what in ("array", "matrix", "tag")} <= passed
    assert _EXPECTED.keys() <= passed | expected.keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_estimator_agrees_with_the_functions(name, digits):
    X, y = digits
    labels = np.array([f"digit {k}" for k in y])
    classifier = sm.LinearClassifier(name, reg=1e-2, tol=1e-4, scaling="none").fit(X, labels)
    fit = sm.minimize(sm.Objective(type(classifier_loss(name))(), X, y, 1e-2), tol=1e-4)
    assert np.array_equal(classifier.coef_, fit.W.T)
    assert classifier.coef_.shape == (10, 64)
    assert list(classifier.classes_) == sorted(set(labels))
    scores = X.astype(float) @ fit.W + fit.b
    assert classifier.decision_function(X) == pytest.approx(scores, abs=1e-12)
    assert np.array_equal(classifier.predict(X), classifier.classes_[scores.argmax(axis=1)])
    assert classifier.score(X, labels) > 0.93
    assert classifier.converged_
    plain_gap = (classifier.value_ - classifier.lower_bound_) / classifier.value_
    assert plain_gap <= classifier.gap_ <= plain_gap + 1e-9  # the value is raised by its rounding
    assert classifier.lower_bound_ < classifier.value_


def classifier_loss(name):
    return {"hinge": sm.Hinge(), "squared_hinge": sm.SquaredHinge(), "cross_entropy": sm.CrossEntropy()}[name]


def test_probabilities_are_for_cross_entropy_only(digits):
    X, y = digits
    classifier = sm.LinearClassifier(reg=1e-2).fit(X, y)
    assert classifier.predict_proba(X) == pytest.approx(sm.softmax(classifier.decision_function(X)), abs=1e-15)
    assert np.exp(classifier.predict_log_proba(X)) == pytest.approx(classifier.predict_proba(X))
    assert not hasattr(sm.LinearClassifier("hinge"), "predict_proba")
    with pytest.raises(AttributeError, match="has no attribute 'predict_proba'") as caught:
        sm.LinearClassifier("hinge").predict_proba(X)
    assert str(caught.value.__cause__) == (
        "Probabilities need loss='cross_entropy' or LinearClassifierCV(calibrate=True), got Hinge(delta=1.0)."
    )


@pytest.mark.parametrize("name", NAMES)
def test_pixels_as_they_are(name):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    X = np.clip(rng.normal(size=(3, 48))[y] * 20 + rng.normal(size=(400, 48)) * 30 + 128, 0, 255).astype(np.uint8)
    kept = X.copy()
    classifier = sm.LinearClassifier(name, reg=1e-2).fit(X, y)
    assert np.array_equal(X, kept)
    assert classifier.preprocessing_.scaling == "pixel"
    by_hand = sm.LinearClassifier(name, reg=1e-2).fit(X / 255.0, y)
    assert classifier.coef_ * 255 == pytest.approx(by_hand.coef_, abs=1e-3 * np.abs(by_hand.coef_).max())
    raw = sm.LinearClassifier(name, reg=1e-2 * 255**2, scaling="none").fit(X / 1.0, y)
    assert raw.value_ == pytest.approx(classifier.value_, rel=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_standard_scaling_is_a_standard_scaler(name):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    X = (rng.normal(size=(3, 6))[y] + rng.normal(size=(200, 6))) * 10.0 ** np.arange(-3, 3) + 50.0
    folded = sm.LinearClassifier(name, reg=1e-2, scaling="standard", tol=1e-7, max_passes=9000).fit(X, y)
    pipeline = make_pipeline(StandardScaler(), sm.LinearClassifier(name, reg=1e-2, tol=1e-7, max_passes=9000)).fit(
        X, y
    )
    assert folded.value_ == pytest.approx(pipeline[-1].value_, rel=2e-7)
    assert np.mean(folded.predict(X) == pipeline.predict(X)) > 0.98


def test_class_weight(digits):
    X, y = digits
    keep = (y != 3) | (np.arange(len(y)) % 5 == 0)
    X, y = X[keep], y[keep]
    balanced = sm.LinearClassifier("squared_hinge", reg=1e-2, class_weight="balanced", tol=1e-7).fit(X, y)
    weights = len(y) / (10 * np.bincount(y)[y])
    by_hand = sm.LinearClassifier("squared_hinge", reg=1e-2, tol=1e-7).fit(X, y, sample_weight=weights)
    assert balanced.value_ == pytest.approx(by_hand.value_, rel=1e-7)


def test_a_class_without_weight_takes_no_part(digits):
    X, y = digits
    classifier = sm.LinearClassifier(reg=1e-2).fit(X, y, sample_weight=(y != 9).astype(float))
    without = sm.LinearClassifier(reg=1e-2).fit(X[y != 9], y[y != 9])
    assert list(classifier.classes_) == list(range(9))
    assert classifier.value_ == pytest.approx(without.value_, rel=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([2**62, -(2**62), 7]),
        np.array(["b", "a", "ü"]),
        np.array([True, False, True]),
        np.array([1.0, 3.0, 5.0]),
        np.array(["x", "y", "z"], dtype=object),
    ],
    ids=["huge", "strings", "bools", "integral floats", "objects"],
)
def test_labels_come_back_exactly(labels):
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 3
    X = np.eye(3)[codes] + 0.1 * rng.normal(size=(60, 3))
    predicted = sm.LinearClassifier(reg=1e-4).fit(X, labels[codes]).predict(X)
    assert predicted.dtype == labels.dtype
    if labels.dtype != bool:
        assert np.array_equal(predicted, labels[codes])


def test_strings_in_a_list_keep_the_zeros_at_their_end():
    labels = ["a\0", "a", "b"] * 10
    classifier = sm.LinearClassifier(reg=1e-6).fit(np.tile(np.eye(3), (10, 1)), labels)
    assert classifier.classes_.tolist() == ["a", "a\0", "b"]
    assert classifier.predict(np.eye(3)).tolist() == labels[:3]


def test_columns_that_may_have_missing_values_are_scaled_as_those_that_may_not(digits):
    X, y = digits[0].astype(np.uint8), digits[1]
    plain = sm.LinearClassifier(reg=1e-2).fit(X, y)
    for dtype in ("UInt8", pd.SparseDtype(np.uint8, 255)):
        frame = pd.DataFrame(X).astype(dtype)
        assert np.array_equal(sm.LinearClassifier(reg=1e-2).fit(frame, y).coef_, plain.coef_)


def test_citizenship(digits):
    X, y = digits
    X, y = X[:600], y[:600]
    frame = pd.DataFrame(X, columns=[f"pixel {k}" for k in range(64)])
    classifier = sm.LinearClassifier("hinge", reg=1e-2).fit(frame, y)
    assert list(classifier.feature_names_in_) == list(frame.columns)
    assert clone(classifier).get_params() == classifier.get_params()
    unscaled = sm.LinearClassifier("squared_hinge", tol=1e-3, scaling="none")
    search = GridSearchCV(unscaled, {"reg": [1e-1, 1e-3]}, cv=3).fit(X, y)
    assert search.best_params_["reg"] == 1e-3
    assert cross_val_score(sm.LinearClassifier(reg=1e-3, tol=1e-3), X, y, cv=3).mean() > 0.85
    assert "LinearClassifier" in classifier._repr_html_()


def test_an_interrupted_fit_leaves_the_estimator_as_it_was(digits):
    X, y = digits

    def interrupt(step):
        if armed:
            raise KeyboardInterrupt

    armed = False
    classifier = sm.LinearClassifier(reg=1e-2, callback=interrupt).fit(X, y)
    before = {name: value for name, value in vars(classifier).items() if name.endswith("_")}
    armed = True
    with pytest.raises(KeyboardInterrupt):
        classifier.set_params(reg=1e-5).fit(X, y)
    after = {name: value for name, value in vars(classifier).items() if name.endswith("_")}
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


def test_a_fit_that_did_not_converge_warns(digits):
    X, y = digits
    with pytest.warns(ConvergenceWarning, match=r"gap \S+ > tol=1e-9\. Reached max_passes=10;") as said:
        classifier = sm.LinearClassifier("hinge", reg=1e-5, tol=1e-9, max_passes=10).fit(X, y)
    assert not classifier.converged_
    with pytest.warns(ConvergenceWarning) as also_said:
        sm.minimize(sm.Objective(sm.Hinge(), X, y, 1e-5), tol=1e-9, max_passes=10)
    assert {warning.filename for warning in (*said, *also_said)} == {__file__}  # the line that asked for the fit


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_reported_with_their_place(value, digits):
    X, y = digits[0].copy(), digits[1]
    X[7, 3] = X[9, 1] = value
    said = "NaN" if np.isnan(value) else "infinity"
    with pytest.raises(DataError, match=rf"{said}.* row 7, column 3, and 1 more"):
        sm.LinearClassifier().fit(X, y)
    classifier = sm.LinearClassifier(reg=1e-2).fit(*digits)
    with pytest.raises(DataError, match="row 7, column 3"):
        classifier.predict(X)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.zeros(30, int), "only one class"),
        (np.linspace(0, 1, 30), "continuous"),
        (np.array([0, np.nan] * 15), r"y\[1\] is nan"),
        (np.array([0, np.inf] * 15), r"y\[1\] is inf"),
        (np.array(["a", 1] * 15, dtype=object), "y mixes labels of the types int, str"),
        (["a", 1] * 15, "y mixes labels of the types int, str"),  # NumPy would make the labels "a" and "1" of it
        ([None] * 30, r"y\[0\] is None"),
        (np.array([0, 1] * 15, dtype=object), "Unknown label type"),
        (["a"] * 15 + [np.nan] * 15, r"y\[15\] is nan"),  # and the label "nan"
        (["nan", None] * 15, r"y\[1\] is None"),
        ([[0], [1, 2]] * 15, "got nested sequences"),
        (np.zeros((30, 2), int), "1d array"),
        (None, "1d array"),
        (np.arange(30).astype("M8[D]"), "y must hold strings or integers, got dtype datetime64"),
        ([b"a", b"b"] * 15, "y must hold strings or integers, got dtype"),
        (np.zeros(29, int), "y must hold 30 labels, one per row of X"),
        ([2**53, 2**53 + 1, 1.0] * 10, r"y\[1\] is 9007199254740993, too large for an integer label"),
        ([5, -1, 2**63] * 10, r"y\[2\] is 9223372036854775808, too large for an integer label"),
    ],
)
@pytest.mark.parametrize("classifier", [sm.LinearClassifier(), sm.LinearClassifierCV()], ids=["one", "search"])
def test_wrong_labels(classifier, y, said):
    with pytest.raises(DataError, match=said) as caught:
        classifier.fit(np.random.default_rng(0).normal(size=(30, 2)), y)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("method", ["predict", "decision_function", "predict_proba", "score"])
def test_wrong_tables_in_one_sentence(method, digits):
    X, y = digits
    frame = pd.DataFrame(X[:, :3], columns=["a", "b", "c\n"])
    classifier = sm.LinearClassifier(reg=1e-2).fit(frame, y)
    call = getattr(classifier, method)
    more = (y,) if method == "score" else ()
    for Z, said in (
        (X[0], r"Reshape your data: X must be two-dimensional.*\(64,\)"),
        (frame["a"], r"two-dimensional.*\(1797,\)"),
        (frame["a"].astype(pd.SparseDtype("float32", 0.0)), "two-dimensional"),
        (X[:, :, None], r"two-dimensional.*\(1797, 64, 1\)"),
        (3.0, r"two-dimensional.*\(\)"),
        (None, "two-dimensional"),
        ([[1.0, 2.0], [3.0]], "different lengths"),
        (frame.rename(columns={"b": "z\n"}), r"expected 'b' in column 1, got 'z\\n'"),
        (frame[["b", "a", "c\n"]], "expected 'a' in column 0, got 'b'"),
        (frame[["a", "b"]], "X has 2 features, but LinearClassifier is expecting 3 features as input"),
        (X, "X has 64 features, but LinearClassifier is expecting 3 features as input"),
        (frame.rename(columns={"b": 7}), r"string names, but your input has \['int', 'str'\]"),
        (X[:, :3].astype(complex), "Complex data not supported: X must hold real numbers"),
    ):
        with pytest.raises(DataError, match=said) as caught:
            call(Z, *more)
        assert str(caught.value).isprintable()
        assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (None, "1d array"),
        ([0, 1], "y must hold 1797 labels"),
        ([0.0, np.nan], r"y\[1\] is nan"),
        (["0"] * 1797, "y must contain numbers, like the classes of the fit, got strings"),
    ],
)
def test_wrong_labels_to_score_by(y, said, digits):
    classifier = sm.LinearClassifier(reg=1e-2).fit(*digits)
    with pytest.raises(DataError, match=said):
        classifier.score(digits[0], y)


def test_scores_are_weighted_shares(digits):
    X, y = digits
    words = np.array([f"digit {label}" for label in y])
    classifier, named = sm.LinearClassifier(reg=1e-2).fit(X, y), sm.LinearClassifier(reg=1e-2).fit(X, words)
    right = classifier.predict(X) == y
    weights = np.random.default_rng(0).integers(0, 5, len(y))
    for weight in (None, weights, weights.tolist()):
        share = np.average(right, weights=weight)
        assert classifier.score(X, y, sample_weight=weight) == pytest.approx(share, rel=1e-14)
        assert named.score(X, words, sample_weight=weight) == pytest.approx(share, rel=1e-14)
    assert classifier.score(X, y + 10) == 0.0  # labels of no class are never right
    for weight, said in (
        (-weights, "finite and ≥ 0"),
        (weights[1:], "sample_weight must have shape"),
        (0 * y, "zero"),
    ):
        with pytest.raises(DataError, match=said):
            classifier.score(X, y, sample_weight=weight)
    with pytest.raises(DataError, match="X must contain at least one sample to score, got none"):
        classifier.score(X[:0], y[:0])
    with pytest.raises(DataError, match="y must contain strings, like the classes of the fit, got numbers"):
        named.score(X, y)


def test_columns_of_one_name(digits):
    frame = pd.DataFrame(digits[0][:, :3], columns=["a", "b", "b"])
    with pytest.raises(DataError, match="X must have unique column names, got more than one column named 'b'"):
        sm.LinearClassifier(reg=1e-2).fit(frame, digits[1])


def test_a_refused_table_leaves_the_estimator_as_it_was(digits):
    X, y = digits
    frame = pd.DataFrame(X[:, :3], columns=["a", "b", "c"])
    classifier = sm.LinearClassifier(reg=1e-2).fit(frame, y)
    before = dict(vars(classifier))
    for Z, labels in ((X[0], y), (X * np.nan, y), (frame.rename(columns={"b": 7}), y), (X, y[1:]), (X, None)):
        with pytest.raises(DataError):
            classifier.fit(Z, labels)
        assert vars(classifier).keys() == before.keys()
        assert all(vars(classifier)[name] is before[name] for name in before)


def test_tables_of_every_make(digits):
    X, y = digits[0][:, ::4], digits[1]
    # Dense and sparse X have sweeps of their own, which stop at different points: the optimum has to be close.
    settings = {"reg": 1e-2, "scaling": "none", "tol": 1e-7}
    classifier = sm.LinearClassifier(**settings).fit(X, y)
    frame = pd.DataFrame(X)
    with pytest.warns(PendingDeprecationWarning):
        matrix, labels = np.asmatrix(X), np.asmatrix(y).T
    for Z in (
        matrix,
        X.tolist(),
        frame,
        frame.astype("Float32"),
        frame.astype({0: "Float32"}),
        frame.astype(object),
        frame.astype({0: "category"}),
        frame.astype(pd.SparseDtype("float32", 0.0)),
        frame.astype(pd.SparseDtype("float32", np.nan)),
        frame.astype({0: pd.SparseDtype("float32", 0.0), 1: "Float64"}),
    ):
        again = sm.LinearClassifier(**settings).fit(Z, y)
        assert again.coef_ == pytest.approx(classifier.coef_, abs=1e-3)
        assert np.array_equal(classifier.predict(Z), classifier.predict(X))
    with pytest.warns(match="column-vector"):
        column = sm.LinearClassifier(**settings).fit(X, labels)
    assert np.array_equal(column.coef_, classifier.coef_)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss": "l2"}, "loss must be one of 'cross_entropy', 'squared_hinge', 'hinge'"),
        ({"reg": 0.0}, "reg must be positive, got 0"),
        ({"reg": -1.0}, "reg must be"),
        ({"loss": "hinge", "delta": 0.0}, "delta must be"),
        ({"tol": 0.0}, "tol"),
        ({"max_passes": 0}, "max_passes"),
        ({"scaling": "robust"}, "robust"),
        ({"engine": "gpu"}, "gpu"),
        ({"n_threads": 0}, "n_threads must be an integer ≥ 1"),
        ({"n_threads": "2"}, "n_threads must be an integer ≥ 1"),
        ({"n_threads": 1.5}, "n_threads must be an integer ≥ 1"),
        ({"loss": [1]}, "loss must be one of 'cross_entropy'"),
        ({"tol": "x"}, "tol must be a number, got 'x'"),
        ({"tol": None}, "tol must be a number"),
        ({"max_passes": "x"}, "max_passes must be a number, got 'x'"),
        ({"callback": 3}, "callback must be a callable that takes a Step, got 3"),
        ({"class_weight": {0: -1.0}}, r"class_weight\[0\] must be a finite number ≥ 0, got -1.0"),
        ({"class_weight": {0: np.nan}}, r"class_weight\[0\] must be a finite number ≥ 0"),
        ({"class_weight": {0: "heavy"}}, r"class_weight\[0\] must be a number, got 'heavy'"),
        ({"class_weight": {77: 1.0}}, "class_weight must have only labels of y as keys, got 77"),
        ({"class_weight": "fair"}, "class_weight must be a dict or 'balanced'"),
    ],
)
def test_wrong_parameters(settings, said, digits):
    with pytest.raises(ParameterError, match=said):
        sm.LinearClassifier(**settings).fit(*digits)


def test_wrong_data(digits):
    X, y = digits
    classifier = sm.LinearClassifier(reg=1e-2)
    with pytest.raises(NotFittedError):
        classifier.predict(X)
    classifier.fit(X, y)
    with pytest.raises(ValueError, match="64 features"):
        classifier.predict(X[:, :5])
    with pytest.raises(DataError, match=r"sample_weight\[2\] is -1"):
        classifier.fit(X, y, sample_weight=np.where(np.arange(len(y)) == 2, -1.0, 1.0))
    with pytest.raises(ValueError, match=r"[Cc]omplex"):
        classifier.fit(X.astype(complex), y)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.ones(3), r"must have shape \(40,\), got \(3,\)"),
        (np.ones((40, 1)), r"got \(40, 1\)"),
        (np.where(np.arange(40) == 7, np.nan, 1.0), r"sample_weight\[7\] is nan"),
        (np.where(np.arange(40) == 7, np.inf, 1.0), r"sample_weight\[7\] is inf"),
        (np.where(np.arange(40) == 7, -2.0, 1.0), r"sample_weight\[7\] is -2.0"),
        (np.zeros(40), "zero for every sample"),
        (["1"] * 40, "sample_weight must be an array of real numbers"),
        (np.ones(40) * 1j, "sample_weight must be an array of real numbers"),
        (np.ma.masked_less(np.arange(40.0), 3), "sample_weight is a masked array"),
    ],
)
def test_wrong_weights(weights, said, digits):
    X, y = digits
    with pytest.raises(DataError, match=said):
        sm.LinearClassifier().fit(X[:40], y[:40], weights)


def test_what_is_masked_is_not_used(digits):
    X, y = digits
    classifier = sm.LinearClassifier(reg=1e-2).fit(X, y)
    for masked in (np.ma.masked_greater(X, 0.5), np.ma.masked_array(X)):
        for call in (lambda X=masked: classifier.fit(X, y), lambda X=masked: classifier.predict(X)):
            with pytest.raises(DataError, match="X is a masked array"):
                call()
    with pytest.raises(DataError, match="y is a masked array"):
        classifier.fit(X, np.ma.masked_equal(y, 3))


def test_to_model_is_the_same_classifier(tmp_path):
    data = sm.load_dataset("digits")
    classifier = sm.LinearClassifier("squared_hinge", reg=1e-3).fit(data.X, data.y)
    classifier.to_model(data).save(tmp_path / "digits.safetensors")
    model = sm.load_model(tmp_path / "digits.safetensors")
    assert np.array_equal(model.predict(data.test.X), classifier.predict(data.test.X))
    assert model.scores(data.test.X) == pytest.approx(classifier.decision_function(data.test.X), abs=1e-12)
    assert (model.gap, model.value, model.reg) == (classifier.gap_, classifier.value_, 1e-3)
    assert model.fingerprint == data.fingerprint()


def test_parameters_set_after_the_fit_do_not_change_what_was_fitted(digits):
    X, y = digits
    data = sm.load_dataset("digits")
    classifier = sm.LinearClassifier("cross_entropy", reg=1e-2, tol=1e-3).fit(X, y)
    probabilities = classifier.predict_proba(X)
    classifier.set_params(loss="hinge", delta=3.0, reg=7.0, tol=1e-9)
    assert np.array_equal(classifier.predict_proba(X), probabilities)
    model = classifier.to_model(data)
    assert (model.loss, model.reg, model.tol) == (sm.CrossEntropy(), 1e-2, 1e-3)
    classifier = sm.LinearClassifier("hinge", delta=2.0, reg=1e-2, tol=1e-2).fit(X, y)
    classifier.set_params(loss="cross_entropy", reg=7.0)
    assert not hasattr(classifier, "predict_proba")
    assert classifier.to_model(data).loss == sm.Hinge(2.0)


def test_an_unknown_loss_has_no_probabilities():
    assert not hasattr(sm.LinearClassifier("l2"), "predict_proba")
