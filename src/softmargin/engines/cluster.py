"""The workers of a Dask cluster: how an answer of theirs is waited for, and what they must have.

Dask waits for ever if no worker is left. Here, each wait is watched, and ends with a `ClusterError`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from distributed import Client
from distributed.client import FutureCancelledError

from softmargin.engines.cpu.signature import signature
from softmargin.engines.runner import ResultsLost
from softmargin.errors import ClusterError, SoftmarginError
from softmargin.shards import BlockPart, Part, Shards

__all__ = ["Cluster", "difference"]

_PATIENCE = 20.0
"""Seconds in which no worker can run a task, or the scheduler does not answer, after which a wait is an error."""

_ANSWER, _INTERVAL = 5.0, 1.0
"""Seconds to wait for an answer of the scheduler, and between two questions."""

_WORKER_BYTES, _USABLE = 600_000_000, 0.5
"""Memory of a worker before it has any rows, and the fraction of the rest that rows may take."""


class Cluster:
    """The workers of a client, for any number of threads that wait for them.

    Parameters
    ----------
    client : Client
    keys : str
        What the keys of the tasks contain that are waited for.

    Attributes
    ----------
    n_threads : int
        Number of threads of all workers.

    Raises
    ------
    ClusterError
        If there are no workers.
    """

    def __init__(self, client: Client, keys: str) -> None:
        self._client: Any = client  # whose methods have no types
        self._keys = keys
        workers = self.wait(self._workers())
        if not workers:
            raise ClusterError(f"{self._scheduler} has no workers; start some and try again.")
        self.n_threads = sum(worker["nthreads"] for worker in workers.values())

    def wait(self, answer: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a coroutine of the client, or raise a `ClusterError` if it cannot come.

        It is `ResultsLost` if the scheduler has given up a result that is not made again. The coroutine is not
        cancelled after an error, since the client may share its work with other threads.
        """
        waiting, alive = self._start(answer), time.monotonic()
        try:
            while True:
                try:
                    return waiting.result(_INTERVAL)
                except TimeoutError:
                    if waiting.done():
                        raise
                obstacle = self._obstacle()
                if obstacle is None:
                    alive = time.monotonic()
                elif time.monotonic() - alive > _PATIENCE:
                    raise ClusterError(obstacle)
        except FutureCancelledError as error:
            error.__traceback__ = None  # Dask keeps the error, whose frames would keep rows of all shards
            if self._client.status != "running" or error.reason.startswith("scheduler"):
                raise ClusterError(self._lost) from error
            raise ResultsLost(
                f"Workers have ended again and again, and {error.key} was lost, perhaps for lack of memory; start "
                f"workers with more memory."
            ) from error
        except OSError as error:
            if self._obstacle() == self._lost:
                raise ClusterError(self._lost) from error
            raise  # of a task

    def on_all(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Return what a function returns on each worker, by its address, without those that are lost meanwhile."""
        found = self.wait(self._client.run(function, *arguments, on_error="return", asynchronous=True))
        for answer in found.values():
            if isinstance(answer, Exception) and not isinstance(answer, OSError):
                raise answer
        answers = {address: answer for address, answer in found.items() if not isinstance(answer, OSError)}
        if not answers:
            raise ClusterError(f"{self._scheduler} has no workers left; start some and try again.")
        return answers

    def kind(self, mixed: bool) -> tuple[str, dict[str, str]] | None:
        """Return a worker and its signature, which is that of all; None if they may be of several kinds.

        Raises
        ------
        ClusterError
            If workers differ and ``mixed`` is false.
        """
        if mixed:
            return None
        first, *others = self.on_all(signature).items()
        for address, other in others:
            if other != first[1]:
                raise ClusterError(difference(*first, address, other))
        return first

    def check_files(self, parts: Sequence[Part]) -> None:
        """Raise a `ClusterError` if a worker cannot read the parts."""
        files = [part for part in parts if not isinstance(part, BlockPart)]  # blocks may hold all rows
        if not files:
            return
        for address, why in self.on_all(_unreadable, files).items():
            if why:
                raise ClusterError(f"The worker {address} cannot read the data: {why}")

    def free_bytes(self, data: Shards) -> float:
        """Return the memory that the shards leave, or raise a `ClusterError` if the workers have too little."""
        workers = self.wait(self._workers())
        limits = {address: worker["memory_limit"] for address, worker in workers.items()}
        limited = {address: limit for address, limit in limits.items() if limit}
        mapped = [part for part in data.parts if part.mapped]
        if mapped and limited:
            raise ClusterError(
                f"Workers must have no memory limit to map files, since Dask counts mapped pages as memory; start "
                f"{next(iter(limited))} and the others with --memory-limit 0 (LocalCluster: memory_limit=0)."
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

    def _start(self, answer: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(answer, self._client.loop.asyncio_loop)

    async def _workers(self) -> dict[str, Any]:
        return dict((await self._client.scheduler.identity())["workers"])

    async def _blocked(self) -> str | None:
        """Return why a task cannot be run, or None."""
        workers = await self._workers()
        if not workers:
            return (
                f"{self._scheduler} has had no workers for {_PATIENCE:.0f} seconds; start some, and resume from a "
                f"checkpoint."
            )
        paused = [address for address, worker in workers.items() if worker["status"] == "paused"]
        tasks = await self._client.scheduler.processing(workers=paused) if paused else {}
        # The scheduler leaves the tasks of a paused worker there.
        waiting = [address for address, keys in tasks.items() if any(self._keys in key for key in keys)]
        if len(paused) < len(workers) and not waiting:
            return None
        return (
            f"The worker {(waiting or paused)[0]} has been paused for {_PATIENCE:.0f} seconds for lack of memory; "
            f"start workers with more memory, or map the files and start workers with --memory-limit 0."
        )

    def _obstacle(self) -> str | None:
        """Return what keeps the cluster from running tasks, or None."""
        if self._client.status != "running":
            return self._lost
        question = self._start(self._blocked())
        try:
            found: str | None = question.result(_ANSWER)
        except (TimeoutError, OSError):
            return self._lost
        finally:
            question.cancel()
        return found

    @property
    def _scheduler(self) -> str:
        return f"The scheduler {getattr(self._client.scheduler, 'address', 'of the client')}"

    @property
    def _lost(self) -> str:
        return f"{self._scheduler} is lost; start it again, and resume from a checkpoint."


def difference(address: str, kind: dict[str, str], other_address: str, other: dict[str, str]) -> str:
    """Return the message that two workers differ."""
    name = next(name for name in kind if kind[name] != other.get(name))
    values = "" if name == "processor features" else f" ({kind[name]} and {other.get(name)})"
    return (
        f"Workers must be of one kind, but {address} and {other_address} differ in {name}{values}; stop one of "
        f"them, or set mixed=True (--mixed), which gives up reproducible bits."
    )


def _unreadable(parts: Sequence[Part]) -> str:
    """Return why this worker cannot read the parts; empty if it can."""
    for part in parts:
        try:
            part.check()
        except SoftmarginError as error:
            return str(error)
    return ""
