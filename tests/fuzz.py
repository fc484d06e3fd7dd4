"""Damaged files of every format: each is read, or refused in one sentence, quickly and in little memory.

    python tests/fuzz.py [--count 20000] [--seed 0] [--reader NAME …]

Each reader reads COUNT mutations of a small valid file: bits flipped, bytes set to awkward values, pieces
truncated, removed or repeated, numbers in text replaced. A child process does the reading, so that a crash or a
hang is detected. For every fiftieth file it also runs ``softmargin info``.

A failure is an exception that is not a `SoftmarginError`, a message of more than one line, a process that dies,
more than 5 s, or a memory peak more than twice the size of the file plus 64 MB above that before.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.sources import Source, table, write_others, write_tables

SECONDS = 5.0
SPARE_BYTES = 64 << 20
COMMAND_LINE_EVERY = 50
AWKWARD = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\n",
    b'"',
    b",",
    b"-",
    b"9",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x00",
)
WORDS = (b"nan", b"1e400", b"-1", b"99999999999", b"0", b"", b"1e-400", b"0x10", b"\xc3\xa9", b"1_0")


class Finding(NamedTuple):
    reader: str
    number: int
    what: str


def mutated(good: bytes, rng: np.random.Generator) -> bytes:
    """Return a damaged copy."""
    data = bytearray(good)
    for _ in range(int(rng.integers(1, 4))):
        n = max(1, len(data))
        i, j = sorted(map(int, rng.integers(0, n, 2)))
        kind = int(rng.integers(9))
        if kind <= 1:
            for place in rng.integers(0, n, int(rng.integers(1, 9))):
                if len(data):
                    data[int(place)] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            data[i : i + 1] = AWKWARD[int(rng.integers(len(AWKWARD)))]
        elif kind == 3:
            word = AWKWARD[-2:][int(rng.integers(2))]
            data[i : i + len(word)] = word
        elif kind == 4:
            del data[i:]
        elif kind == 5:
            del data[i : min(j, i + 64)]
        elif kind == 6:
            data[i:i] = data[i : min(j, i + 64)]
        elif kind == 7:
            data[i : i + 8] = rng.bytes(8)
        else:
            data[i : i + int(rng.integers(1, 8))] = WORDS[int(rng.integers(len(WORDS)))]
    return bytes(data)


def peak() -> int:
    """Return the most memory this process has held since `forget_peak`, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def attempt(source: Source, with_command_line: bool) -> tuple[str, str]:
    """Read once; return "read", "refused" or "wrong", and what went wrong."""
    from softmargin.cli import main
    from softmargin.data import load_dataset
    from softmargin.errors import SoftmarginError

    outcome = "read"
    try:
        data = load_dataset(source.path, n_workers=1)
        data.fingerprint()  # reads what is mapped
    except SoftmarginError as error:
        outcome = "refused"
        if not str(error).isprintable() or len(str(error)) > 2000:
            return "wrong", f"a message of more than a line: {str(error)[:200]!r}"
    except Exception as error:
        return "wrong", f"{type(error).__name__}: {str(error)[:200]}"
    if with_command_line:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        status: object = 1
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main(["info", str(source.path)])
        except SystemExit as end:
            status = end.code
        except BaseException as error:
            return "wrong", f"the command line let {type(error).__name__} through: {error}"
        errors = err.buffer.getvalue().decode(errors="replace")  # type: ignore[attr-defined]
        if "Traceback" in errors or status != (0 if outcome == "read" else 2):
            return "wrong", f"the command line ended with {status}: {errors[-300:]}"
    return outcome, ""


def work(pipe: Connection, source: Source, seed: int, numbers: range) -> None:
    """Try the mutations of these numbers in this process; send a message before and after each."""
    warnings.simplefilter("ignore")
    import softmargin.model  # noqa: F401 (what the command line imports is not the reader's)

    good = source.file.read_bytes()
    attempt(source, True)
    for number in numbers:
        bad = mutated(good, np.random.default_rng([seed, number]))
        source.file.write_bytes(bad)
        pipe.send(("begin", number, ""))
        forget_peak()
        before = peak()
        outcome, what = attempt(source, number % COMMAND_LINE_EVERY == 0)
        grown = peak() - before
        if outcome != "wrong" and grown > 2 * len(bad) + SPARE_BYTES:
            outcome, what = "wrong", f"{grown >> 20} MB of memory for a file of {len(bad):,} bytes"
        pipe.send((outcome, number, what))
    pipe.send(("end", 0, ""))


def run(source: Source, name: str, count: int, seed: int) -> tuple[Counter[str], list[Finding], float]:
    """Try ``count`` mutations; return the counts of their outcomes, the failures, and the longest time."""
    good = source.file.read_bytes()
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    number, longest = 0, 0.0
    # Not forked: what the parent has started (threads of Arrow and BLAS) must not be missing in the helper.
    context = multiprocessing.get_context("spawn")
    while number < count:
        source.file.write_bytes(good)
        ours, theirs = context.Pipe()
        helper = context.Process(target=work, args=(theirs, source, seed, range(number, count)), daemon=True)
        helper.start()
        theirs.close()
        try:
            begun = time.monotonic() + 60.0  # it imports first
            while True:
                if not ours.poll(max(0.0, begun + SECONDS - time.monotonic())):
                    raise TimeoutError
                what, number, text = ours.recv()
                if what == "end":
                    number = count
                    break
                if what == "begin":
                    begun = time.monotonic()
                    continue
                longest = max(longest, time.monotonic() - begun)
                begun = time.monotonic()
                counts[what] += 1
                if what == "wrong":
                    findings.append(Finding(name, number, text))
        except (TimeoutError, EOFError, ConnectionError) as error:
            text = f"more than {SECONDS:g} s" if isinstance(error, TimeoutError) else "the process died"
            counts["wrong"] += 1
            findings.append(Finding(name, number, text))
            number += 1
        finally:
            helper.kill()
            helper.join()
            ours.close()
    source.file.write_bytes(good)
    return counts, findings, longest


def fuzz(count: int, seed: int = 0, readers: list[str] | None = None, verbose: bool = False) -> list[Finding]:
    """Test all readers, or those named; print one line per reader if ``verbose``."""
    folder = Path(
        tempfile.mkdtemp(prefix="softmargin-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    )
    wrong: list[Finding] = []
    try:
        sources = write_tables(folder, *table()) | write_others(folder)
        if unknown := set(readers or ()) - set(sources):
            raise SystemExit(f"--reader must be one of {', '.join(sources)}, got {', '.join(sorted(unknown))}.")
        for name, source in sources.items():
            if readers and name not in readers:
                continue
            began = time.monotonic()
            counts, findings, longest = run(source, name, count, seed)
            wrong += findings
            if verbose:
                print(
                    f"{name:16} {sum(counts.values()):7,} files: {counts['read']:7,} read, {counts['refused']:7,} "
                    f"refused, {counts['wrong']:3,} wrong; longest {longest:.2f} s, "
                    f"{time.monotonic() - began:.0f} s in all",
                    flush=True,
                )
                for finding in findings[:10]:
                    print(f"    {finding.number}: {finding.what}", flush=True)
    finally:
        shutil.rmtree(folder)
    return wrong


def fuzz_here(count: int, seed: int) -> list[Finding]:
    """Test all readers in this process, without limits of time and memory; a crash ends it."""
    wrong = []
    with tempfile.TemporaryDirectory(prefix="softmargin-fuzz-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, source in (write_tables(Path(folder), *table()) | write_others(Path(folder))).items():
            good = source.file.read_bytes()
            for number in range(count):
                source.file.write_bytes(mutated(good, np.random.default_rng([seed, number])))
                outcome, what = attempt(source, number % 8 == 0)
                wrong += [Finding(name, number, what)] if outcome == "wrong" else []
            source.file.write_bytes(good)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="*")
    options = parser.parse_args()
    return 1 if fuzz(options.count, options.seed, options.reader, verbose=True) else 0


if __name__ == "__main__":
    sys.exit(main())
