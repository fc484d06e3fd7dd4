"""One fit of each program that `rivals.py` compares, and the process it runs in.

A fit is a function of X, y, λ, the stop and the number of threads; it returns W, b and the relative gap that the
program claims, or None. Its settings make it minimise our F (C = 1/(2Nλ), with one weight vector 1/(Nλ);
cyanure's lambda_1 = 2λ). Packages are imported in the process of their fit alone.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from scipy import sparse

from benchopt_multiclass.benchmark_utils.losses import two_columns, value_and_gradient

FREE, NONE = "free bias", "no bias"


def fits(model, X, y):
    """Fit a model with scikit-learn's attributes."""
    model.fit(X, y)
    W, b = (
        (model.coef_.T, np.ravel(model.intercept_))
        if len(model.coef_) > 1
        else two_columns(model.coef_, model.intercept_)
    )
    return W, b, None


def penalty(X, y, reg):
    """Return scikit-learn's C."""
    return 1.0 / ((1.0 if y.max() == 1 else 2.0) * X.shape[0] * reg)


# -- fits ------------------------------------------------------------------------------------------------


def softmargin(X, y, reg, stop, threads, loss, bias):
    import softmargin as sm

    losses = {"cross_entropy": sm.CrossEntropy(), "squared_hinge": sm.SquaredHinge(), "hinge": sm.Hinge()}
    objective = sm.Objective(losses[loss], X, y, reg, fit_intercept=bias == FREE, n_threads=threads)
    fit = sm.minimize(objective, tol=stop, max_passes=float("inf"))
    return fit.W, fit.b, fit.gap


def scikit(X, y, reg, stop, threads, loss, bias, solver):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=penalty(X, y, reg), solver=solver, tol=stop, max_iter=10**6, fit_intercept=bias == FREE, random_state=0
    )
    return fits(model, X, y)


def intelex(X, y, reg, stop, threads, loss, bias):
    from sklearnex.linear_model import LogisticRegression

    model = LogisticRegression(
        C=penalty(X, y, reg), tol=stop, max_iter=10**6, fit_intercept=bias == FREE, n_jobs=threads
    )
    return fits(model, X, y)


def cyanure(X, y, reg, stop, threads, loss, bias):
    from cyanure.estimators import Classifier

    squared = loss == "squared_hinge"  # ½max² of one weight vector: half of our F, where λΣW² = ½λ|w|²
    two = y.max() == 1
    model = Classifier(
        loss="sqhinge" if squared else "logistic" if two else "multiclass-logistic",
        penalty="l2", lambda_1=0.5 * reg if squared else reg if two else 2.0 * reg,
        fit_intercept=bias == FREE, tol=stop, max_iter=10**5, verbose=False, n_threads=threads,
    )  # fmt: skip
    model.fit(X, y)
    b = model.intercept_ if bias == FREE else np.zeros(y.max() + 1)
    W, b = two_columns(model.coef_, b) if two else (model.coef_, np.ravel(b))
    steps = model.optimization_info_[0]
    return W, b, steps[3, np.flatnonzero(steps[0])[-1]]


def liblinear(X, y, reg, stop, threads, loss, bias, dual=True):
    from sklearn.svm import LinearSVC

    return fits(LinearSVC(
        C=penalty(X, y, reg), loss=loss, dual=dual, fit_intercept=False, tol=stop, max_iter=10**7, random_state=0,
    ), X, y)  # fmt: skip


def crammer_singer(X, y, reg, stop, threads, loss, bias):
    from sklearn.svm import LinearSVC

    return fits(LinearSVC(
        C=0.5 * penalty(X, y, reg), multi_class="crammer_singer", fit_intercept=False, tol=stop, max_iter=10**7,
        random_state=0,
    ), X, y)  # fmt: skip


def snap(X, y, reg, stop, threads, loss, bias):
    import snapml

    kind = snapml.SupportVectorMachine if loss == "hinge" else snapml.LogisticRegression
    model = kind(
        regularizer=len(y) * reg, tol=stop, max_iter=10**6, fit_intercept=False, n_jobs=threads, random_state=0
    )
    model.fit(X, y)
    return *two_columns(model.coef_), None


def mlpack_softmax(X, y, reg, stop, threads, loss, bias):
    import mlpack

    model = mlpack.softmax_regression(training=X, labels=y, lambda_=2.0 * reg, no_intercept=True)["output_model"]
    (parts,) = model.get_cpp_params().values()
    return parts["parameters"], np.zeros(y.max() + 1), None


def mlpack_svm(X, y, reg, stop, threads, loss, bias):
    import mlpack

    model = mlpack.linear_svm(
        training=X,
        labels=y,
        lambda_=2.0 * reg,
        delta=1.0,
        tolerance=stop,
        max_iterations=0,
        no_intercept=True,
        seed=1,
    )["output_model"]
    (parts,) = model.get_cpp_params().values()
    return parts["svm"]["parameters"].T, np.zeros(y.max() + 1), None


def numpy_lbfgs(X, y, reg, stop, threads, loss, bias):
    from scipy.optimize import minimize

    shape = X.shape[1] + 1, y.max() + 1

    def F(p):
        value, gradient = value_and_gradient(X, y, loss, reg, bias == FREE, p.reshape(shape))
        return value, gradient.ravel()

    options = {"maxiter": 10**6, "maxfun": 10**7, "gtol": stop, "ftol": 0.0, "maxcor": 20}
    P = minimize(F, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(shape)
    return P[:-1], P[-1], None


# -- which program takes which problem -------------------------------------------------------------------


@dataclass(frozen=True)
class Rival:
    """A program, the problems (loss, bias) whose F it minimises, and its stops from loose to tight."""

    name: str
    package: str
    fit: Callable
    problems: tuple[tuple[str, str], ...]
    stops: tuple[float, ...]
    settings: tuple[tuple[str, object], ...] = ()
    dtype: type | None = np.float64  # of X; None: as it is
    takes_sparse: bool = True
    two_only: bool = False  # one weight vector
    largest: float = np.inf  # D·C

    @property
    def version(self):
        return version(self.package)

    def takes(self, loss, bias, X, n_classes):
        wide = X.shape[1] * n_classes > self.largest
        fitting = self.takes_sparse or not sparse.issparse(X)
        return (loss, bias) in self.problems and fitting and not wide and (n_classes == 2 or not self.two_only)

    def __call__(self, X, y, reg, stop, threads, loss, bias):
        return self.fit(X, y, reg, stop, threads, loss, bias, **dict(self.settings))


def decades(first, last, step=1):
    return tuple(10.0**-k for k in range(first, last + 1, step))


CE, SQ, HI = "cross_entropy", "squared_hinge", "hinge"
SOFT, FREE_CE = ((CE, FREE), (CE, NONE)), ((CE, FREE),)
OURS = "softmargin"
SKLEARN = "scikit-learn"
RIVALS = (
    Rival(OURS, "softmargin", softmargin, tuple((loss, bias) for loss in (CE, SQ, HI) for bias in (FREE, NONE)),
          (0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-5, 1e-6), dtype=None),
    Rival("sklearn lbfgs", SKLEARN, scikit, FREE_CE, decades(2, 9), (("solver", "lbfgs"),)),
    Rival("sklearn lbfgs, float32", SKLEARN, scikit, FREE_CE, decades(2, 7), (("solver", "lbfgs"),), np.float32),
    Rival("sklearn newton-cg", SKLEARN, scikit, FREE_CE, decades(1, 8), (("solver", "newton-cg"),)),
    Rival("sklearn newton-cholesky", SKLEARN, scikit, FREE_CE, decades(1, 8), (("solver", "newton-cholesky"),),
          largest=5000, takes_sparse=False),
    Rival("sklearn saga", SKLEARN, scikit, FREE_CE, decades(1, 7), (("solver", "saga"),), None),
    Rival("sklearnex lbfgs", "scikit-learn-intelex", intelex, FREE_CE, decades(1, 7), takes_sparse=False),
    Rival("cyanure", "cyanure", cyanure, FREE_CE, decades(1, 8)),
    Rival("cyanure, float32", "cyanure", cyanure, FREE_CE, decades(1, 6), dtype=np.float32),
    Rival("cyanure (two classes)", "cyanure", cyanure, ((SQ, FREE), (CE, NONE), (SQ, NONE)), decades(1, 8),
          two_only=True),
    Rival("NumPy + SciPy L-BFGS", "scipy", numpy_lbfgs, (*SOFT, (SQ, FREE), (SQ, NONE)), decades(2, 8)),
    Rival("mlpack softmax_regression", "mlpack", mlpack_softmax, ((CE, NONE),), (0.0,), takes_sparse=False),
    Rival("mlpack linear_svm", "mlpack", mlpack_svm, ((HI, NONE),), decades(2, 10, 4), takes_sparse=False),
    Rival("LIBLINEAR dual", SKLEARN, liblinear, ((HI, NONE), (SQ, NONE)), decades(0, 6), two_only=True),
    Rival("LIBLINEAR primal", SKLEARN, liblinear, ((SQ, NONE),), decades(0, 6), (("dual", False),), two_only=True),
    Rival("LIBLINEAR logistic", SKLEARN, scikit, ((CE, NONE),), decades(0, 6), (("solver", "liblinear"),),
          two_only=True),
    Rival("LIBLINEAR Crammer-Singer", SKLEARN, crammer_singer, ((HI, NONE),), decades(0, 6), two_only=True),
    Rival("Snap ML", "snapml", snap, ((CE, NONE), (HI, NONE)), decades(1, 8), two_only=True),
)  # fmt: skip


# -- the process -----------------------------------------------------------------------------------------


def loaded(file, dtype):
    with np.load(file) as arrays:
        X = arrays["X"] if "X" in arrays else sparse.csr_matrix(
            (arrays["data"], arrays["indices"], arrays["indptr"]), arrays["shape"]
        )  # fmt: skip
        return X if dtype is None else X.astype(dtype), arrays["y"]


def work(name, threads, pipe):
    """Answer each (file, loss, bias, λ, stop) with (wall seconds, CPU seconds, W, b, gap)."""
    warnings.simplefilter("ignore")
    rival = next(rival for rival in RIVALS if rival.name == name)
    last, X, y = None, None, None
    while (task := pipe.recv()) is not None:
        file, loss, bias, reg, stop = task
        if file != last:
            (X, y), last = loaded(file, rival.dtype), file
        started, cpu = time.perf_counter(), time.process_time()
        try:
            W, b, gap = rival(X, y, reg, stop, threads, loss, bias)
        except Exception as error:  # the table names it
            pipe.send(f"{type(error).__name__}: {error}")
            continue
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        pipe.send((seconds, cpu, np.array(W, np.float64), np.array(b, np.float64), gap))
