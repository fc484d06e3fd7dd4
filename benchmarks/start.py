"""Time of the first and the second start, and what the first one compiles.

    python benchmarks/start.py [FOLDER_OF_PICTURES]

Each row is ``softmargin fit`` on digits, on a small CSV (1,000 x 20, 4 classes), on embeddings in a ``.npy``
(8,000 x 384, 50 classes, float32) and, if a folder is given, on its pictures. The first start compiles the kernels
into a fresh cache, the second loads them from there. CPU seconds are those of the whole process; "compiling" is
the difference of both starts.
"""

import compileall
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

import softmargin


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def made_data(folder):
    """Return the arguments of ``softmargin fit`` for each data set."""
    rng = np.random.default_rng(0)
    y = np.arange(1000) % 4
    X = rng.normal(size=(1000, 20)) + np.eye(4, 20)[y]
    header = ",".join([*(f"x{d}" for d in range(20)), "label"])
    np.savetxt(f"{folder}/table.csv", np.column_stack([X, y]), fmt=["%.6f"] * 20 + ["%d"], delimiter=",",
               header=header, comments="")  # fmt: skip
    y = np.arange(8000) % 50
    X = (rng.normal(size=(8000, 384)) + 4.0 * rng.normal(size=(50, 384))[y] / 384**0.5).astype(np.float32)
    np.save(f"{folder}/X.npy", X)
    np.save(f"{folder}/y.npy", y)
    data = {
        "digits": ["digits"],
        "CSV": [f"{folder}/table.csv", "--label-column", "label"],
        ".npy": [f"{folder}/X.npy", "--labels-file", f"{folder}/y.npy"],
    }
    return data | ({"pictures": sys.argv[1:2]} if len(sys.argv) > 1 else {})


def main():
    compileall.compile_dir(os.path.dirname(softmargin.__file__), quiet=1)  # as pip does when it installs
    with tempfile.TemporaryDirectory() as folder:
        print(
            f"{'':10}{'first':>9}{'second':>9}{'CPU, first':>12}{'CPU, second':>13}{'compiling':>11}{'kernels':>9}"
        )
        for name, arguments in made_data(folder).items():
            environment = {**os.environ, "NUMBA_CACHE_DIR": f"{folder}/{name}-cache", "NUMBA_DEBUG_CACHE": "1"}
            report = f"{folder}/{name}.html"
            command = [sys.executable, "-m", "softmargin", "fit", *arguments, "-q", "--report", report, "-o"]
            seconds, cpu, n_kernels = [], [], []
            for which in ("first", "second"):
                model = f"{folder}/{name}-{which}.safetensors"
                started, before = time.perf_counter(), cpu_seconds()
                said = subprocess.run(
                    [*command, model], env=environment, capture_output=True, text=True, check=True
                ).stdout
                seconds.append(time.perf_counter() - started)
                cpu.append(cpu_seconds() - before)
                n_kernels.append(said.count("data saved to"))
            print(
                f"{name:10}{seconds[0]:7.1f} s{seconds[1]:7.1f} s{cpu[0]:10.1f} s{cpu[1]:11.1f} s"
                f"{cpu[0] - cpu[1]:9.1f} s{n_kernels[0]:9}",
                flush=True,
            )


if __name__ == "__main__":
    main()
