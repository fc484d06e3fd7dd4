"""Models in other programs predict what they predict here; rows of length 1; the consumers are the real ones."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array

import softmargin as sm
from softmargin.errors import CapabilityError, DataError, ModelFileError, ParameterError
from softmargin.model import load_model
from softmargin.preprocessing import Preprocessing, unit_rows
from tests.support.command_line import run
from tests.support.models import model


def made(n_classes=3, loss=None, rows="none", classes=None, d=7):
    rng = np.random.default_rng(n_classes)
    classes = [f"c{k}é" for k in range(n_classes)] if classes is None else classes
    return model(
        W=rng.normal(size=(d, n_classes)),
        b=rng.normal(size=n_classes),
        classes=classes,
        loss=sm.CrossEntropy() if loss is None else loss,
        preprocessing=Preprocessing("none", np.zeros(d), np.ones(d), rows),
        image_shape=None,
        image_size=None,
        feature_names=tuple(f"f{k}" for k in range(d)),
    )


def features(n=200, d=7):
    X = np.random.default_rng(1).normal(size=(n, d)).astype(np.float32)
    X[5] = 0.0
    return X


KINDS = [
    (3, sm.CrossEntropy(), "none"),
    (2, sm.CrossEntropy(), "l2"),
    (2, sm.Hinge(), "none"),
    (5, sm.SquaredHinge(), "l2"),
]


@pytest.mark.parametrize(("n_classes", "loss", "rows"), KINDS)
@pytest.mark.parametrize("labels", [None, "int"])
def test_onnx_runtime_predicts_the_same(tmp_path, n_classes, loss, rows, labels):
    pytest.importorskip("onnx", reason="the package onnx (the extra onnx) is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    classes = None if labels is None else [10 * k - 7 for k in range(n_classes)]
    ours, X = made(n_classes, loss, rows, classes), features()
    ours.export(tmp_path / "m.onnx")
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"X": X}), strict=True))
    assert found["label"].tolist() == ours.predict(X).tolist()
    # the same products in float64, in another order: D terms of size 1, and rows that are rounded to float32
    np.testing.assert_allclose(found["scores"], ours.scores(X), rtol=0, atol=1e-14 if rows == "none" else 1e-6)
    assert ("probabilities" in found) == isinstance(loss, sm.CrossEntropy)
    if "probabilities" in found:
        np.testing.assert_allclose(found["probabilities"], ours.predict_proba(X), rtol=0, atol=1e-6)
    assert session.run(["label"], {"X": X[:0]})[0].shape == (0,)


@pytest.mark.parametrize(("n_classes", "loss", "rows"), KINDS)
def test_a_linear_layer_of_pytorch_predicts_the_same(tmp_path, n_classes, loss, rows):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from safetensors.torch import load_file

    ours, X = made(n_classes, loss, rows), features()
    ours.export(tmp_path / "m.safetensors")
    layer = torch.nn.Linear(7, n_classes).double()
    layer.load_state_dict(load_file(tmp_path / "m.safetensors"))
    with torch.no_grad():
        scores = layer(torch.from_numpy((unit_rows(X) if rows == "l2" else X).astype(np.float64))).numpy()
    np.testing.assert_allclose(scores, ours.scores(X), rtol=0, atol=1e-14)
    assert ours.classes[scores.argmax(axis=1)].tolist() == ours.predict(X).tolist()


@pytest.mark.parametrize(("n_classes", "loss", "rows"), KINDS)
def test_scikit_learn_and_numpy_predict_the_same(tmp_path, n_classes, loss, rows):
    ours, X = made(n_classes, loss, rows), features()
    theirs = ours.to_sklearn()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that X has no names
        assert theirs.predict(X).tolist() == ours.predict(X).tolist()
        if isinstance(loss, sm.CrossEntropy):
            np.testing.assert_allclose(theirs.predict_proba(X), ours.predict_proba(X), rtol=0, atol=1e-6)
    ours.export(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        rows_of = unit_rows(X) if arrays["unit_rows"] else X
        scores = rows_of.astype(np.float64) @ arrays["coef"].T + arrays["intercept"]
        assert arrays["classes"][scores.argmax(axis=1)].tolist() == ours.predict(X).tolist()
        assert arrays["feature_names"].tolist() == list(ours.feature_names)


def test_what_cannot_be_exported(tmp_path, monkeypatch):
    with pytest.raises(ParameterError, match=r"path must end in \.onnx, \.safetensors or \.npz, got "):
        made().export(tmp_path / "m.pkl")
    with pytest.raises(ModelFileError, match="could not be saved"):
        made().export(tmp_path / "nowhere" / "m.npz")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(CapabilityError, match=r'python -m pip install "\.\[onnx\]"'):
        made().export(tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_labels_beyond_int64_cannot_be_exported_to_onnx(tmp_path):
    pytest.importorskip("onnx", reason="the package onnx (the extra onnx) is not installed")
    with pytest.raises(DataError, match="18446744073709551615"):
        made(classes=np.array([0, 1, 2**64 - 1], np.uint64)).export(tmp_path / "m.onnx")


def test_export_on_the_command_line(tmp_path):
    made(rows="l2").save(tmp_path / "m.safetensors")
    answer = run("export", tmp_path / "m.safetensors", "-o", tmp_path / "m.npz")
    assert (answer.status, answer.text) == (0, f"{tmp_path / 'm.npz'}: 7 features, 3 classes.\n")
    assert "divides each row by its Euclidean norm" in answer.err
    assert "rows of norm 1" in run("info", tmp_path / "m.safetensors").text


# ---- rows of length 1 ----


@pytest.mark.parametrize(("dtype", "wide"), [("u1", "f4"), ("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("i8", "f8")])
def test_rows_have_length_one_and_depend_on_themselves_alone(dtype, wide, monkeypatch):
    X = (np.random.default_rng(0).normal(size=(301, 23)) * 50).astype(dtype)
    X[7] = 0
    unit = unit_rows(X)
    assert unit.dtype == np.dtype(wide)
    exact = X.astype(np.longdouble)
    lengths = np.sqrt((exact**2).sum(axis=1, keepdims=True))
    exact /= np.where(lengths > 0, lengths, 1)
    # one rounding to the type, beside some of float64
    np.testing.assert_allclose(unit, exact.astype(np.float64), rtol=2 * np.finfo(wide).eps, atol=0)
    assert not unit[7].any()
    monkeypatch.setattr("softmargin.preprocessing._BLOCK_ELEMENTS", 50)
    for same in (X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]):
        assert unit_rows(same).tobytes() == unit.tobytes()
    assert unit_rows(X[::-1])[::-1].tobytes() == unit.tobytes()
    if dtype != "f2":
        sparse = unit_rows(csr_array(X))
        np.testing.assert_allclose(sparse.toarray(), unit, rtol=2 * np.finfo(wide).eps, atol=0)
        assert sparse.dtype == unit.dtype


def test_lengths_stay_within_the_range():
    X = np.array([[3e200, 4e200], [3e-200, 4e-200], [5e-324, 0.0]])
    np.testing.assert_allclose(unit_rows(X), [[0.6, 0.8], [0.6, 0.8], [1.0, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(unit_rows(csr_array(X)).toarray(), unit_rows(X), rtol=1e-15)


def test_a_fit_with_rows_of_length_one_is_that_of_divided_rows(tmp_path):
    digits = sm.load_dataset("digits")
    X = digits.X * np.random.default_rng(0).uniform(0.1, 10.0, size=(len(digits.X), 1)).astype(np.float32)
    options = {"reg": 1e-3, "tol": 1e-3, "scaling": "none"}
    fitted = sm.LinearClassifier("cross_entropy", normalize_rows=True, **options).fit(X, digits.y)
    plain = sm.LinearClassifier("cross_entropy", **options).fit(unit_rows(X), digits.y)
    assert fitted.coef_.tobytes() == plain.coef_.tobytes()
    np.testing.assert_array_equal(fitted.predict(X), plain.predict(unit_rows(X)))
    saved = fitted.to_model(sm.load_dataset("digits"))
    saved.save(tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.preprocessing.rows == "l2"
    np.testing.assert_array_equal(loaded.scores(X), plain.to_model(digits).scores(unit_rows(X)))
    assert loaded.predict(X * 100.0).tolist() == loaded.predict(X).tolist()
    assert plain.to_model(digits).metadata()["rows"] == "none"
    with pytest.raises(ParameterError, match="normalize_rows must be True or False"):
        sm.LinearClassifier(normalize_rows="l2").fit(X, digits.y)
    holed = X[:9].copy()
    holed[3, 1] = np.nan
    with pytest.raises(DataError, match="row 3, column 1"):
        loaded.predict(holed)
