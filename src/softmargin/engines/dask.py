"""The runner of a `ChunkedEngine` on a cluster of Dask, with ordinary tasks.

A shard is a task that reads its rows from its recipe, so Dask makes it again when its worker is lost, as it does
with all that was computed from it. Nothing is scattered or pinned to a worker, and no result depends on where a
task ran. What arrives from another process is aligned (see ``shard.py`` and ``rows.py``): otherwise compiled code
would take other paths, with other rounding errors.

Dask waits for ever if no worker is left. Here, each wait is watched, and ends with a `ClusterError`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from uuid import uuid4

from distributed import Client, KilledWorker, LocalCluster, default_client, get_worker
from distributed.client import FutureCancelledError
from numpy.typing import NDArray

from softmargin.engines.chunked import ChunkedEngine
from softmargin.engines.cpu.signature import signature
from softmargin.engines.shard import Piece, Recipe, Shard
from softmargin.engines.shard_sums import Request
from softmargin.errors import CapabilityError, ClusterError, SoftmarginError
from softmargin.shards import BlockPart, Part, Shards
from softmargin.text import printable
from softmargin.threads import usable_cores

__all__ = ["OnDask", "connected", "current_runner", "dask_engine", "local_cluster"]

_LITERAL_BYTES = 1 << 23
"""Up to this size of all copies, a request is sent with each task; beyond, it is the result of its own task."""

_PATIENCE = 20.0
"""Seconds without a worker, or without an answer of the scheduler, after which a wait ends with an error."""

_ANSWER, _INTERVAL = 5.0, 1.0
"""Seconds to wait for an answer of the scheduler, and between two questions."""

_MOST_RETRIES = 3
"""Number of times that a task is tried again after it has ended as many workers as the scheduler allows."""

_WORKER_BYTES, _USABLE = 600_000_000, 0.5
"""Memory of a worker before it has any rows, and the fraction of the rest that rows may take."""


class OnDask:
    """Runs tasks on the workers of a client.

    Parameters
    ----------
    client : Client
    mixed : bool
        Whether workers of different versions or processors are allowed. Results are still certified, but their
        last bits are not reproducible.

    Raises
    ------
    ClusterError
        If there is no worker, or if workers differ and ``mixed`` is false.
    """

    def __init__(self, client: Client, mixed: bool = False) -> None:
        self._client: Any = client  # whose methods have no types
        self._fit, self._n_runs, self._n_shards = uuid4().hex[:12], 0, 0
        threads = self._watched(self._threads())
        if not threads:
            raise ClusterError(f"The scheduler {_address(client)} has no workers; start some and try again.")
        self.n_workers = sum(threads.values())
        signatures = _on_all(client, signature)
        first, kind = next(iter(signatures.items()))
        for address, other in signatures.items():
            if other != kind and not mixed:
                raise ClusterError(_difference(first, kind, address, other))
        self._kind = None if mixed else (first, kind)
        self._blocks: dict[str, list[Any]] = {}
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

    def run(self, task: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
        """Return futures of the results."""
        name = getattr(task, "__name__", type(task).__name__)
        return self._submit(name, task, list(zip(*columns, strict=True)))

    def share(self, request: Request) -> Any:
        """Return the request if it is small, otherwise a future of it."""
        if request.n_bytes * self._n_shards <= _LITERAL_BYTES:
            return request
        return self._submit("request", _same, [(request,)])[0]

    def collect(self, handles: Sequence[Any]) -> list[Any]:
        """Return the results.

        Raises
        ------
        ClusterError
            If no worker is left, the scheduler does not answer, or a task has ended too many workers.
        """
        futures = list(handles)
        for retries in range(_MOST_RETRIES + 1):
            try:
                return list(self._watched(self._client.gather(futures, asynchronous=True)))
            except KilledWorker as error:
                if retries == _MOST_RETRIES:
                    raise ClusterError(
                        f"The task {error.task} has ended {(retries + 1) * (error.allowed_failures + 1)} workers, "
                        f"perhaps for lack of memory; start workers with more memory."
                    ) from error
                self._client.retry([future for future in futures if future.status == "error"])
            except BaseException:  # no task may run on for a fit that has ended, also on Ctrl-C
                if self._client.status == "running":
                    self._client.cancel(futures)
                raise
        raise AssertionError("the last try returns or raises")

    def _submit(self, name: str, task: Callable[..., Any], rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._n_runs += 1
        prefix = f"softmargin-{name}-{self._fit}-{self._n_runs}"
        return [self._task(f"{prefix}-{k}", task, row) for k, row in enumerate(rows)]

    def _task(self, key: str, task: Callable[..., Any], row: tuple[Any, ...]) -> Any:
        first = row[0]
        if isinstance(first, Piece | Recipe) and isinstance(part := first.part, BlockPart):
            blocks, empty = self._blocks[part.name], first.with_part(part.of())
            return self._client.submit(_on_blocks, self._kind, task, *blocks, empty, *row[1:], key=key)
        return self._client.submit(_checked, self._kind, task, *row, key=key)

    def _watched(self, answer: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a coroutine of the client, or raise a `ClusterError` if it cannot come."""
        loop: asyncio.AbstractEventLoop = self._client.loop.asyncio_loop
        waiting, alive = asyncio.run_coroutine_threadsafe(answer, loop), time.monotonic()
        try:
            while True:
                try:
                    return waiting.result(_INTERVAL)
                except TimeoutError:
                    if waiting.done():
                        raise
                threads = self._n_threads(loop)
                if threads:
                    alive = time.monotonic()
                elif time.monotonic() - alive > _PATIENCE:
                    raise ClusterError(self._lost(threads))
        except (FutureCancelledError, OSError) as error:
            if isinstance(error, FutureCancelledError) or self._n_threads(loop) is None:
                raise ClusterError(self._lost(None)) from error
            raise  # of a task
        finally:
            waiting.cancel()

    def _n_threads(self, loop: asyncio.AbstractEventLoop) -> int | None:
        """Return the number of threads of all workers, or None if the scheduler does not answer."""
        if self._client.status != "running":
            return None
        question = asyncio.run_coroutine_threadsafe(self._threads(), loop)
        try:
            return sum(question.result(_ANSWER).values())
        except (TimeoutError, OSError):
            return None
        finally:
            question.cancel()

    def _threads(self) -> Coroutine[Any, Any, dict[str, int]]:
        return self._client.nthreads(asynchronous=True)

    def _lost(self, threads: int | None) -> str:
        what = "is lost" if threads is None else f"has had no workers for {_PATIENCE:.0f} seconds"
        return f"The scheduler {_address(self._client)} {what}; start it again, or resume from a checkpoint."


def dask_engine(
    data: Shards, n_threads: int | None = None, client: Client | None = None, mixed: bool = False
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
    mixed : bool, default False
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
    _check_files(client, data.parts)
    runner.free_bytes = _free_bytes(client, data)
    runner.place(data.parts)
    return ChunkedEngine(data, runner, n_threads or 1)


def current_runner(parts: Sequence[Part]) -> OnDask:
    """Return a runner on the current client of Dask; raise as `dask_engine` does if a worker lacks a file."""
    runner = OnDask(client := _current())
    _check_files(client, parts)
    return runner


def _current() -> Client:
    try:
        return cast(Any, default_client)()
    except ValueError:
        raise CapabilityError(
            "engine='dask' requires a client of Dask; create one with distributed.Client('tcp://HOST:8786')."
        ) from None


def _on_blocks(
    kind: Any, task: Callable[..., Any], X: NDArray[Any], y: NDArray[Any], first: Any, *rest: Any
) -> Any:
    """Run a task on a part of dask arrays, whose blocks may come from another process."""
    return _checked(kind, task, first.with_part(first.part.of(X, y)), *rest)


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Connect to a scheduler; its client is the current one of Dask.

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
    with client:
        yield client


@contextmanager
def local_cluster(n_workers: int) -> Iterator[Client]:
    """Start worker processes on this machine, which share its cores, and stop them at the end."""
    threads = max(1, usable_cores() // n_workers)
    options = {"n_workers": n_workers, "threads_per_worker": threads, "memory_limit": 0, "dashboard_address": None}
    with (
        LocalCluster(host="127.0.0.1", silence_logs=logging.CRITICAL, **options) as local,
        Client(local) as client,
    ):
        yield client


def _same(value: Any) -> Any:
    return value


def _checked(kind: tuple[str, dict[str, str]] | None, task: Callable[..., Any], *arguments: Any) -> Any:
    """Run a task on a worker that is of the kind of the worker that was there first."""
    if kind is not None and signature() != kind[1]:
        raise ClusterError(_difference(*kind, get_worker().address, signature()))
    return task(*arguments)


def _difference(address: str, kind: dict[str, str], other_address: str, other: dict[str, str]) -> str:
    name = next(name for name in kind if kind[name] != other.get(name))
    values = "" if name == "processor features" else f" ({kind[name]} and {other.get(name)})"
    return (
        f"Workers must be of one kind, but {address} and {other_address} differ in {name}{values}; stop one of "
        f"them, or set mixed=True and give up reproducible bits."
    )


def _on_all(client: Any, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Return what a function returns on each worker, without those that are lost meanwhile."""
    found = client.run(function, *arguments, on_error="return")
    for answer in found.values():
        if isinstance(answer, Exception) and not isinstance(answer, OSError):
            raise answer
    answers = {address: answer for address, answer in found.items() if not isinstance(answer, OSError)}
    if not answers:
        raise ClusterError(f"The scheduler {_address(client)} has no workers left; start some and try again.")
    return answers


def _address(client: Client) -> str:
    return str(getattr(client.scheduler, "address", "of the client"))


def _unreadable(parts: Sequence[Part]) -> str:
    """Return why this worker cannot read the parts; empty if it can."""
    for part in parts:
        try:
            part.check()
        except SoftmarginError as error:
            return str(error)
    return ""


def _check_files(client: Client, parts: Sequence[Part]) -> None:
    for address, why in _on_all(client, _unreadable, list(parts)).items():
        if why:
            raise ClusterError(f"The worker {address} cannot read the data: {why}")


def _free_bytes(client: Client, data: Shards) -> float:
    """Return the memory that the shards leave, or raise a `ClusterError` if the workers have too little."""
    limits = {address: worker["memory_limit"] for address, worker in client.scheduler_info()["workers"].items()}
    limited = {address: limit for address, limit in limits.items() if limit}
    mapped = [part for part in data.parts if part.mapped]
    if mapped and limited:
        raise ClusterError(
            f"Workers must have no memory limit to map files, since Dask counts mapped pages as memory; start "
            f"{next(iter(limited))} and the others with --memory-limit 0."
        )
    if len(limited) < len(limits):
        return float("inf")
    needed = sum(part.n_rows * (part.row_bytes + 24) for part in data.parts if not part.mapped)
    usable = _USABLE * sum(max(0, limit - _WORKER_BYTES) for limit in limited.values())
    if needed > usable:
        raise ClusterError(
            f"The shards need {needed / 1e9:.2f} GB of memory, but {len(limited)} workers can hold "
            f"{usable / 1e9:.2f} GB; add workers, or map the files."
        )
    return usable - needed
