"""The runner of a `ChunkedEngine` on a cluster of Dask, with ordinary tasks.

A shard is a task that reads its rows from its recipe, so Dask makes it again when its worker is lost, as it does
with all that was computed from it. Rows beside shards are the exception: Dask would repeat the tasks of each round
and read the shard for each. So `OnDask.run` makes Dask forget these tasks, and a single one repeats all rounds.

No data are scattered, nothing is pinned to a worker, and no result depends on where a task ran. What arrives from
another process is aligned (see ``shard.py`` and ``rows.py``): otherwise compiled code would take other paths, with
other rounding errors.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import Any, cast
from uuid import uuid4

import dask
from distributed import Client, KilledWorker, LocalCluster, default_client, get_worker
from distributed.worker import thread_state
from numpy.typing import NDArray

from softmargin.engines.chunked import ChunkedEngine
from softmargin.engines.cluster import Cluster, difference
from softmargin.engines.cpu.signature import signature
from softmargin.engines.runner import ResultsLost
from softmargin.engines.shard import Piece, Recipe, Shard
from softmargin.engines.shard_sums import Request
from softmargin.errors import CapabilityError, ClusterError
from softmargin.shards import BlockPart, Part, Shards
from softmargin.stopping import asking
from softmargin.text import printable
from softmargin.threads import usable_cores

__all__ = ["OnDask", "connected", "current_runner", "dask_engine", "local_cluster"]

_LITERAL_BYTES = 1 << 23
"""Up to this size of all copies, a request is sent with each task; beyond, it is the result of its own task."""

_MIXED = "softmargin.mixed"
"""Name of the setting, in the configuration of Dask, that allows workers of several kinds."""

_MOST_RETRIES = 3
"""Number of times that a task is tried again after it has ended as many workers as the scheduler allows."""


class OnDask:
    """Runs tasks on the workers of a client, for any number of threads at the same time.

    An error or Ctrl-C in a thread cancels the tasks that it waits for, and no others.

    Parameters
    ----------
    client : Client
    mixed : bool, optional
        Whether workers of different versions or processors are allowed. Results are still certified, but their
        last bits are not reproducible. By default "softmargin.mixed" of the configuration of Dask, or False.

    Raises
    ------
    ClusterError
        If there is no worker, or if workers differ and ``mixed`` is false.
    """

    point_bytes = 256e6
    """A pass sends W to each worker and as much back, through one process: about as many seconds as MB / 100."""

    def __init__(self, client: Client, mixed: bool | None = None) -> None:
        self._client: Any = client  # whose methods have no types
        self._fit, self._runs, self._n_shards = uuid4().hex[:12], count(), 0
        self.cluster = Cluster(client, self._fit)
        self.n_workers = self.cluster.n_threads
        self._kind = self.cluster.kind(dask.config.get(_MIXED, False) if mixed is None else mixed)
        self._blocks: dict[str, list[Any]] = {}
        self._retrying = threading.Lock()
        self.free_bytes = float("inf")

    def place(self, parts: Sequence[Part]) -> None:
        """Compute the blocks of dask arrays on the workers, where they stay."""
        for part in parts:
            if isinstance(part, BlockPart):
                self._blocks[part.name] = self._client.compute(list(part.blocks or ()))

    def load(self, recipes: Sequence[Recipe]) -> list[Any]:
        """Return futures of the shards."""
        self._n_shards = len(recipes)
        return self._submit("shard", Shard, [(recipe,) for recipe in recipes])

    def run(self, task: Callable[..., Any], *columns: Sequence[Any], final: bool = False) -> list[Any]:
        """Return futures of the results.

        The ``final`` ones depend on an empty value that is scattered and released. So Dask cannot make them again,
        and forgets what they were computed from: the tasks that the scheduler keeps do not grow with the rounds.
        """
        name = getattr(task, "__name__", type(task).__name__)
        end = self._end() if final else None
        return self._submit(name, task, list(zip(*columns, strict=True)), end)

    def _end(self) -> Any:
        key = f"softmargin-end-{self._fit}-{next(self._runs)}"
        return self.cluster.wait(self._client.scatter({key: None}, asynchronous=True))[key]

    def share(self, request: Request) -> Any:
        """Return the request if it is small, otherwise a future of it."""
        if request.n_bytes * self._n_shards <= _LITERAL_BYTES:
            return request
        return self._submit("request", _same, [(request,)])[0]

    def lost(self, handles: Sequence[Any]) -> list[int]:
        """Return the numbers of the futures that Dask has given up."""
        return [number for number, future in enumerate(handles) if future.cancelled()]

    def collect(self, handles: Sequence[Any]) -> list[Any]:
        """Return the results.

        Raises
        ------
        ResultsLost
            If a result of a final task is lost, or what follows from it; the others are still computed.
        ClusterError
            If no worker is left, the scheduler does not answer, or a task has ended too many workers.
        """
        futures = list(handles)
        for retries in range(_MOST_RETRIES + 1):
            try:
                return list(self.cluster.wait(self._client.gather(futures, asynchronous=True)))
            except KilledWorker as error:
                if retries == _MOST_RETRIES:
                    raise ClusterError(
                        f"The task {error.task} has ended {(retries + 1) * (error.allowed_failures + 1)} workers, "
                        f"perhaps for lack of memory; start workers with more memory."
                    ) from error
                self._retry(futures)
            except ResultsLost:
                raise
            except BaseException:  # no task may run on for a fit that has ended, also on Ctrl-C
                if self._client.status == "running":
                    self._client.cancel(futures)
                raise
        raise AssertionError("the last try returns or raises")

    def _retry(self, futures: Sequence[Any]) -> None:
        """Try tasks again that have ended too many workers, unless another thread has done so."""

        def failed() -> list[Any]:
            return [future for future in futures if future.status == "error"]

        with self._retrying:
            if again := failed():
                with suppress(KeyError):  # the client has released the future of an input that is computed again
                    self._client.retry(again)
            for _ in range(20):  # until the scheduler has reported it
                if not failed():
                    return
                time.sleep(0.05)

    def each(self, task: Callable[..., Any], *columns: Sequence[Any], shared: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield ``task(*row, *shared)`` for each row of the columns, in their order; raise as `collect` does.

        What is shared is sent to the scheduler once. If the iterator is closed, tasks that wait are cancelled.
        """
        common = [self._submit("shared", _same, [(value,)])[0] for value in shared]
        waiting = self.run(task, *columns, *([future] * len(columns[0]) for future in common))[::-1]
        try:
            while waiting:
                yield self.collect([waiting.pop()])[0]
        finally:
            if waiting and self._client.status == "running":
                self._client.cancel(waiting)

    def check(self, problem: Callable[..., str], *arguments: Any) -> None:
        """Raise a `ClusterError` with what a function returns on the first worker where it is not empty."""
        for address, why in self.cluster.on_all(problem, *arguments).items():
            if why:
                raise ClusterError(f"The worker {address} {why}")

    def _submit(
        self, name: str, task: Callable[..., Any], rows: Sequence[tuple[Any, ...]], end: Any = None
    ) -> list[Any]:
        """Return futures of ``task(*row)`` for each row, in one message: half the work of one for each task."""
        if not rows:
            return []
        number = next(self._runs)
        keys = [f"softmargin-{name}-{self._fit}-{number}-{k}" for k in range(len(rows))]
        columns = zip(*map(self._with_blocks, rows), strict=True)
        found: list[Any] = self._client.map(
            partial(_checked, self._kind, task), [end] * len(rows), *columns, key=keys
        )
        return found

    def _with_blocks(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the futures of the blocks of dask arrays that a task reads, and its arguments without them."""
        first = row[0]
        if isinstance(first, Piece | Recipe) and isinstance(part := first.part, BlockPart):
            return self._blocks[part.name], first.with_part(part.of()), *row[1:]
        return None, *row


def dask_engine(
    data: Shards, n_threads: int | None = None, client: Client | None = None, mixed: bool | None = None
) -> ChunkedEngine:
    """Return the engine for shards on a cluster.

    Parameters
    ----------
    data : Shards
        All workers must see the files.
    n_threads : int, optional
        Number of threads per task, by default one: a worker runs as many tasks as it has threads.
    client : Client, optional
        By default the current client of Dask.
    mixed : bool, optional
        As in `OnDask`.

    Raises
    ------
    CapabilityError
        If there is no current client.
    ClusterError
        If the workers lack memory or a file, or as in `OnDask`.
    """
    client = _current() if client is None else client
    runner = OnDask(client, mixed)
    runner.cluster.check_files(data.parts)
    runner.free_bytes = runner.cluster.free_bytes(data)
    runner.place(data.parts)
    return ChunkedEngine(data, runner, n_threads or 1)


def current_runner(parts: Sequence[Part]) -> OnDask:
    """Return a runner on the current client of Dask; raise as `dask_engine` does if a worker lacks a file."""
    runner = OnDask(_current())
    runner.cluster.check_files(parts)
    runner.place(parts)
    return runner


def _current() -> Client:
    try:
        return cast(Any, default_client)()
    except ValueError:
        raise CapabilityError(
            "engine='dask' requires a client of Dask; create one with distributed.Client('tcp://HOST:8786')."
        ) from None


@contextmanager
def connected(address: str, mixed: bool = False) -> Iterator[Client]:
    """Connect to a scheduler; its client is the current one of Dask. ``mixed`` allows workers of several kinds.

    Raises
    ------
    ClusterError
        If there is no scheduler at this address.
    """
    try:
        client = Client(address)
    except OSError as error:
        raise ClusterError(
            f"No Dask scheduler answers at {printable(address)}; start one and try again."
        ) from error
    log = logging.getLogger("distributed.client")
    level = log.level
    with client, dask.config.set({_MIXED: True} if mixed else {}):
        try:
            yield client
        finally:
            if client.status != "running":  # closed while it tries to connect again, it would log a traceback
                log.setLevel(logging.CRITICAL)
    log.setLevel(level)


@contextmanager
def local_cluster(n_workers: int) -> Iterator[Client]:
    """Start worker processes on this machine, which share its cores, and stop them at the end."""
    threads = max(1, usable_cores() // n_workers)
    # A terminal sends Ctrl-C to the workers, too, but the fit still needs them for its last step.
    ignored = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)"
    options = {"n_workers": n_workers, "threads_per_worker": threads, "memory_limit": 0, "preload": ignored}
    options["dashboard_address"] = "127.0.0.1:0"  # any free port: 8787 may be in use
    with (
        LocalCluster(host="127.0.0.1", silence_logs=logging.CRITICAL, **options) as local,
        Client(local) as client,
    ):
        yield client


def _same(value: Any) -> Any:
    return value


def _checked(
    kind: tuple[str, dict[str, str]] | None,
    task: Callable[..., Any],
    end: None,
    blocks: tuple[NDArray[Any], NDArray[Any]] | None,
    *arguments: Any,
) -> Any:
    """Run a task on a worker that is of the kind of the worker that was there first."""
    if kind is not None and signature() != kind[1]:
        raise ClusterError(difference(*kind, get_worker().address, signature()))
    if blocks is not None:
        first, *rest = arguments
        arguments = first.with_part(first.part.of(*blocks)), *rest
    tasks, key = get_worker().state.tasks, thread_state.key
    with asking(lambda: key in tasks and tasks[key].state != "cancelled"):
        return task(*arguments)
