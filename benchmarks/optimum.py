"""Whether softmargin reaches scikit-learn's optimum, the time it takes, and the certificate.

    python benchmarks/optimum.py [FOLDER]

For cross-entropy at equal λ (C = 1/(2Nλ)) on digits, and on banking77 if FOLDER holds
``banking77-minilm.npz``: our fit at tol 1e-10 against scikit-learn's lbfgs and newton-cholesky at tight
tolerances, on one BLAS thread each so that both sides have the same. Every row is made in this run.
"""

import platform
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

import softmargin as sm

REGS = (1e-2, 1e-3, 1e-4)
PEERS = {
    "lbfgs": {"tol": 1e-9, "max_iter": 20_000},
    "newton-cholesky": {"tol": 1e-12, "max_iter": 200},
}


def data_sets(folder):
    digits = sm.load_dataset("digits")
    yield "digits", digits.X.astype(np.float64), np.asarray(digits.y)
    if folder is not None:
        banking = sm.load_dataset(Path(folder) / "banking77-minilm.npz")
        yield "banking77", banking.X.astype(np.float64), np.unique(banking.y, return_inverse=True)[1]


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
    kernel = f"{blas[0]['internal_api']} {blas[0].get('architecture', '')}" if blas else "unknown"
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, scikit-learn {sklearn.__version__}, {kernel}"
    )
    headings = ("data", "reg", "our F", "gap", "s", "peer", "|dF|/F", "s", "ratio")
    print("{:10} {:>6} {:>14} {:>8} {:>7}  {:16} {:>9} {:>7} {:>6}".format(*headings))
    for name, X, y in data_sets(folder):
        for reg in REGS:
            objective = sm.Objective(sm.CrossEntropy(), X, y, reg)
            sm.minimize(objective, tol=0.5)  # compile before the clock starts
            started = time.perf_counter()
            fit = sm.minimize(sm.Objective(sm.CrossEntropy(), X, y, reg), tol=1e-10, max_passes=10_000)
            ours = time.perf_counter() - started
            for solver, settings in PEERS.items():
                if solver == "newton-cholesky" and X.shape[1] * len(np.unique(y)) > 5_000:
                    continue  # its Hessian alone would take gigabytes
                with threadpool_limits(1), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    started = time.perf_counter()
                    peer = LogisticRegression(C=1 / (2 * len(X) * reg), solver=solver, **settings).fit(X, y)
                    theirs = time.perf_counter() - started
                value = objective.value(peer.coef_.T, peer.intercept_)
                difference = abs(value - fit.value) / fit.value
                print(
                    f"{name:10} {reg:6.0e} {fit.value:14.10f} {fit.gap:8.1e} {ours:7.2f}  {solver:16} "
                    f"{difference:9.1e} {theirs:7.2f} {theirs / ours:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
