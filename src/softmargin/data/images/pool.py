"""Many images into one array, by helper processes or in this one.

Threads do not help with small images (Pillow's work per file is mostly Python), and a process pool of
`multiprocessing` breaks scripts without a ``__main__`` guard. So the helpers are plain child processes that
run the file `base.py` of this folder, fed over pipes by one thread each; their pixels are read straight into
the array.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from softmargin.data.base import Progress
from softmargin.data.images import base
from softmargin.data.images.base import Archives, File, ImageProblem, Target, decode_batch
from softmargin.threads import usable_cores

__all__ = ["FileProblem", "decode_all"]

WHAT = "decoding images"
PROGRESS_EVERY = 0.05  # seconds
BATCH_FILES = 128
BATCH_FILES_RESIZED = 8  # files that need resizing are mostly photographs, each a tenth of a second
BATCH_BYTES = 1 << 22  # pixels a helper holds at a time
MOST_HELPERS = 8  # by default; more than these are rarely fed by one disk
# Below both, starting helpers (0.1 s) costs more than it brings.
FEW_FILES = 1000
FEW_BYTES = 16 << 20


class FileProblem(Exception):
    """The first file, in order, that cannot be used, and why."""

    def __init__(self, position: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.position = position
        self.kind = kind


@dataclass
class _Answer:
    """What became of one batch: no problem, a problem, or a helper that never started."""

    batch: range
    problem: FileProblem | None = None
    unstarted: bool = False


def decode_all(
    files: Sequence[File], target: Target, n_workers: int | None, progress: Progress | None
) -> NDArray[np.uint8]:
    """Decode files into the rows of one array.

    Parameters
    ----------
    files : sequence of str, or of tuples of str
        Paths, or archives and names in them, one a row.
    target : Target
        What every image must become.
    n_workers : int, optional
        Processes; see `softmargin.load_dataset`.
    progress : callable, optional
        Called from this thread.

    Returns
    -------
    ndarray of uint8, shape (N, height * width * channels)
        The same for any number of workers.

    Raises
    ------
    FileProblem
        For the first file in order that cannot be used; nothing is left running.
    """
    out = np.empty((len(files), target.height * target.width * target.channels), np.uint8)
    most = BATCH_FILES_RESIZED if target.resize else BATCH_FILES
    step = max(1, min(most, BATCH_BYTES // out.shape[1]))
    batches = [range(start, min(start + step, len(files))) for start in range(0, len(files), step)]
    tell = _Teller(len(files), progress)
    n_helpers = min(_n_workers(files, n_workers), len(batches))
    if n_helpers > 1 and (command := _helper_command()) is not None:
        batches = _by_helpers(command, n_helpers, batches, files, target, out, tell)
    with Archives() as archives:
        for batch in batches:
            _here(batch, files, target, out, tell, archives)
    tell.finish()
    return out


class _Teller:
    """Counts what is done and tells it, not too often."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.progress = total, progress
        self.done, self.told_at = 0, -np.inf

    def add(self, n: int) -> None:
        self.done += n
        if self.progress is not None and time.monotonic() - self.told_at >= PROGRESS_EVERY:
            self.told_at = time.monotonic()
            self.progress(self.done, self.total, WHAT)

    def finish(self) -> None:
        if self.progress is not None:
            self.progress(self.total, self.total, WHAT)


def _n_workers(files: Sequence[File], n_workers: int | None) -> int:
    if n_workers is not None:
        return n_workers
    if len(files) < FEW_FILES and sum(map(_size, files)) < FEW_BYTES:
        return 1
    return min(usable_cores(), MOST_HELPERS)


def _size(file: File) -> int:
    return os.path.getsize(file) if isinstance(file, str) else 0  # of archives the number of files alone decides


def _here(
    batch: range,
    files: Sequence[File],
    target: Target,
    out: NDArray[np.uint8],
    tell: "_Teller",
    archives: Archives,
) -> None:
    n_done = 0
    try:
        for pixels in decode_batch((files[row] for row in batch), target, archives):
            out[batch[n_done]] = np.frombuffer(pixels, np.uint8)
            n_done += 1
            tell.add(1)
    except ImageProblem as problem:
        raise FileProblem(batch[n_done], problem.kind, str(problem)) from problem


def _helper_command() -> list[str] | None:
    """Return how to start a helper, or None where a plain Python cannot be started (frozen or embedded)."""
    program = Path(base.__file__)
    is_python = Path(sys.executable or "").stem.lower().startswith(("python", "pypy"))
    if getattr(sys, "frozen", False) or not is_python or not program.is_file():
        return None
    return [sys.executable, "-P", str(program)]


def _by_helpers(
    command: list[str],
    n_helpers: int,
    batches: list[range],
    files: Sequence[File],
    target: Target,
    out: NDArray[np.uint8],
    tell: _Teller,
) -> list[range]:
    """Share batches among helpers; return those that no helper could take because it did not start."""
    answers: queue.SimpleQueue[_Answer | None] = queue.SimpleQueue()
    stop = threading.Event()
    waiting = iter(batches)
    lock = threading.Lock()

    def next_batch() -> range | None:
        with lock:
            return None if stop.is_set() else next(waiting, None)

    helpers: list[subprocess.Popen[bytes]] = []
    threads: list[threading.Thread] = []
    unstarted: list[range] = []
    problems: list[FileProblem] = []
    try:
        for _ in range(n_helpers):
            helper = _start(command)
            if helper is None:
                break  # no more processes to be had: those there are, or this one, do the work
            helpers.append(helper)
            thread = threading.Thread(
                target=_feed, args=(helper, next_batch, files, target, out, answers), daemon=True
            )
            threads.append(thread)
            thread.start()
        n_feeding = len(threads)
        while n_feeding:
            # A wait with an end lets Ctrl-C through on every system.
            try:
                answer = answers.get(timeout=0.1)
            except queue.Empty:
                tell.add(0)
                continue
            if answer is None:
                n_feeding -= 1
            elif answer.unstarted:
                unstarted.append(answer.batch)
            elif answer.problem is not None:
                # Batches are handed out in order, so those before this one are done or under way: the
                # smallest position among them all is the first problem of the whole set.
                problems.append(answer.problem)
                stop.set()
            else:
                tell.add(len(answer.batch))
    finally:
        stop.set()
        for helper in helpers:
            helper.kill()
        for thread in threads:
            thread.join()
        for helper in helpers:
            _close(helper)
    if problems:
        raise min(problems, key=lambda problem: problem.position)
    return unstarted + list(waiting)


def _start(command: list[str]) -> "subprocess.Popen[bytes] | None":
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    except OSError:
        return None


def _feed(
    helper: "subprocess.Popen[bytes]",
    next_batch: Callable[[], range | None],
    files: Sequence[File],
    target: Target,
    out: NDArray[np.uint8],
    answers: "queue.SimpleQueue[_Answer | None]",
) -> None:
    """Keep one helper busy until nothing is left; runs in a thread of its own."""
    assert helper.stdin is not None
    assert helper.stdout is not None
    is_ready = False
    try:
        while (batch := next_batch()) is not None:
            try:
                is_ready = is_ready or helper.stdout.readline() == b"ready\n"
                if not is_ready:
                    answers.put(_Answer(batch, unstarted=True))
                    return
                answers.put(_ask(helper.stdin, helper.stdout, batch, files, target, out))
            except (OSError, ValueError):  # its end of the pipe is closed, or its answer is cut off
                text = f"or one of the {len(batch) - 1} after it made the decoder stop"
                answers.put(_Answer(batch, FileProblem(batch[0], "broken", text)))
                return
    finally:
        answers.put(None)


def _ask(
    requests: IO[bytes],
    replies: IO[bytes],
    batch: range,
    files: Sequence[File],
    target: Target,
    out: NDArray[np.uint8],
) -> _Answer:
    request = {"files": [files[row] for row in batch], "target": asdict(target)}
    requests.write(json.dumps(request).encode() + b"\n")
    requests.flush()
    problem = json.loads(replies.readline())["problem"]
    if problem is not None:
        position, kind, text = problem
        return _Answer(batch, FileProblem(batch[position], kind, text))
    rows = out[batch.start : batch.stop].reshape(-1).data
    if replies.readinto(rows) != len(rows):  # type: ignore[attr-defined]
        raise ValueError("cut off")
    return _Answer(batch)


def _close(helper: "subprocess.Popen[bytes]") -> None:
    for stream in (helper.stdin, helper.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):  # what is still in the buffer has no reader any more
                stream.close()
    helper.wait()
