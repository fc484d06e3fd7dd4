"""``--cluster``: fits and predictions on the workers of a Dask cluster, from a folder of shards."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from softmargin.cli import sampling, wording
from softmargin.cli.arguments import command_line
from softmargin.cli.job import MAX_PASSES, Job
from softmargin.cli.progress import Progress, stage
from softmargin.errors import ConvergenceWarning, ParameterError, missing_package
from softmargin.text import pluralize

if TYPE_CHECKING:
    from softmargin.model import Model
    from softmargin.shards import Shards

__all__ = ["check_job", "fit_shards", "on_parts", "option", "print_shards"]

option = click.option(
    "--cluster",
    "where",
    metavar="WHERE",
    help="Run on a Dask cluster: tcp://HOST:PORT of its scheduler, or local:N for N processes here.",
)

_PREPARED = {
    "groups": "--groups", "group_by": "--group-by", "limit": "--limit", "normalize_rows": "--normalize-rows",
    "specs": "--features", "image_size": "--image-size", "labels_file": "--labels-file", "text": "--text",
}  # fmt: skip
"""Options that would change the data, by the fields of `Job`."""


def check_job(job: Job, page: str | None) -> None:
    """Raise a `ParameterError` for options that a cluster does not support."""
    if len(set(job.names)) != 1 or job.reg is None:
        raise ParameterError("--cluster needs one --loss and --reg, since nothing is selected on a cluster.")
    for name, flag in _PREPARED.items():
        if getattr(job, name) not in (None, False, ()):
            raise ParameterError(f"{flag} is not supported with --cluster; prepare the shards instead.")
    if page is not None:
        raise ParameterError("--report is not supported with --cluster; run softmargin report afterwards.")


@contextmanager
def client_of(where: str) -> Iterator[None]:
    """Connect to a cluster, which becomes that of ``engine="dask"``; ``local:N`` is started and stopped."""
    local = re.fullmatch(r"local:([1-9]\d{0,3})", where)
    if local is None and not re.fullmatch(r"(tcp|tls|ws|wss)://\S+", where):
        raise ParameterError(f"--cluster must be tcp://HOST:PORT or local:N, got {where!r}.")
    try:
        from softmargin.engines.dask import connected, local_cluster
    except ModuleNotFoundError as error:
        raise missing_package("--cluster", "distributed", "dask") from error
    with connected(where) if local is None else local_cluster(int(local[1])):
        yield


def fit_shards(
    job: Job, where: str, checkpoint: str | None, progress: Progress
) -> tuple[Model, float, Shards, str, float]:
    """Return the model, its training accuracy, the data, the status of the fit and the seconds that all took."""
    from softmargin.data.shards import open_shards
    from softmargin.engines import make_engine
    from softmargin.model import Model
    from softmargin.training import train_on

    (loss,), reg = job.losses(), job.reg
    assert reg is not None, "check_job was called"
    job.note_unused()
    progress("opening the shards")
    columns = job.options()["columns"]
    shards = open_shards(job.data, label_column=job.label_column, columns=columns, weights_column=job.weights)
    factors = sampling.read_factors(job.class_weight)
    shards = shards.weighted(sampling.factors_of_shards(factors, shards, job.class_weight))
    with client_of(where):
        started = time.perf_counter()
        progress("waiting for the workers (kernels are compiled if not cached)")
        engine = make_engine("dask", shards, job.threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # reported by the command
            trained = train_on(
                shards, None, loss, reg, job.scaling,
                tol=job.tol, max_passes=job.max_passes or MAX_PASSES, checkpoint=checkpoint,
                callback=lambda step: progress(stage(loss, reg, step)), engine=lambda *_: engine,
            )  # fmt: skip
        progress("evaluating")
        accuracy = engine.quality(loss, trained.W, trained.b, "training").accuracy
        model = Model(
            **trained.numbers(), n_samples=shards.n_samples, fingerprint=engine.fingerprint(),
            data_name=os.path.basename(os.path.normpath(job.data)), history=trained.fit.record(),
            command=command_line(), feature_names=shards.feature_names, label_column=shards.label_column,
            weights_column=shards.weights_column,
        )  # fmt: skip
        return model, accuracy, shards, trained.fit.status, time.perf_counter() - started


def on_parts(where: str, shards: Shards, task: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
    """Return ``task(part, *arguments)`` for each part, run by the workers; the columns hold the arguments."""
    with client_of(where):
        from softmargin.engines.dask import current_runner

        runner = current_runner(shards.parts)
        return runner.collect(runner.run(task, shards.parts, *columns))


def print_shards(source: str, shards: Shards, n_classes: int) -> None:
    """Print the size of the data."""
    wording.say(
        f"{source}: {pluralize(shards.n_samples, 'training sample')} in "
        f"{pluralize(len(shards.parts), 'file')}, {pluralize(shards.n_features, 'feature')} "
        f"({shards.dtype}), {pluralize(n_classes, 'class', 'classes')}."
    )
    wording.say()
