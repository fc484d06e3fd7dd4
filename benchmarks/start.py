"""Time of the first and the second run of ``softmargin fit digits``.

    python benchmarks/start.py

The first compiles the kernels into a fresh cache, the second loads them from there; Numba reports both.
"""

import os
import subprocess
import sys
import tempfile
import time


def main():
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": f"{folder}/cache", "NUMBA_DEBUG_CACHE": "1"}
        command = [sys.executable, "-m", "softmargin", "fit", "digits", "-q", "-o", f"{folder}/digits.safetensors"]
        seconds = []
        for which in ("first", "second"):
            started = time.perf_counter()
            said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
            seconds.append(time.perf_counter() - started)
            print(
                f"{which}: {seconds[-1]:.1f} s, {said.count('data saved to')} kernels compiled, "
                f"{said.count('data loaded from')} found in the cache"
            )
        print(f"ratio {seconds[0] / seconds[1]:.1f}")


if __name__ == "__main__":
    main()
