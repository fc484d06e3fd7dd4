"""``--cluster``: fits, comparisons and predictions on the workers of a Dask cluster, from a folder of shards."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from softmargin.cli import sampling, wording
from softmargin.cli.arguments import command_line
from softmargin.cli.job import MAX_PASSES, Job
from softmargin.cli.progress import Progress, stage
from softmargin.errors import ConvergenceWarning, ParameterError, missing_package
from softmargin.text import pluralize, quoted

if TYPE_CHECKING:
    from softmargin.engines.chunked import ChunkedEngine
    from softmargin.features import FeatureExtractor
    from softmargin.model import Model
    from softmargin.selection import Comparison
    from softmargin.shards import Shards

__all__ = ["check_job", "client_of", "compare_shards", "fit_shards", "option", "print_shards"]

_MIXED = "softmargin.mixed"


def option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a cluster to a command, which receives only ``where``."""
    command = click.option(
        "--mixed",
        is_flag=True,
        expose_value=False,
        callback=lambda context, _, mixed: context.meta.update({_MIXED: mixed}),
        help="With --cluster, allow workers of several versions or processors: proved, but other last bits.",
    )(command)
    return click.option(
        "--cluster",
        "where",
        metavar="WHERE",
        help="Run on a Dask cluster: tcp://HOST:PORT of its scheduler, or local:N for N processes here.",
    )(command)


_PREPARED = {
    "groups": "--groups", "group_by": "--group-by", "limit": "--limit", "normalize_rows": "--normalize-rows",
    "specs": "--features", "image_size": "--image-size", "labels_file": "--labels-file", "text": "--text",
    "header": "--header or --no-header", "decimal": "--decimal", "encoding": "--encoding",
    "keep_counters": "--keep-counters", "skip_damaged": "--skip-damaged",
}  # fmt: skip
"""Options that would change the data, by the fields of `Job`."""


def check_job(job: Job, **others: str | None) -> None:
    """Raise a `ParameterError` for options that a cluster does not support; ``others`` are not fields of `Job`."""
    for name, flag in _PREPARED.items():
        value = getattr(job, name)
        if value not in (None, False, ()) or (name == "header" and value is False):
            raise ParameterError(f"{flag} is not supported with --cluster; prepare the shards instead.")
    for name, value in others.items():
        if value is not None:
            flag = name.replace("_", "-")
            raise ParameterError(f"--{flag} is not supported with --cluster; use data in memory of one machine.")


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
    if mixed := click.get_current_context().meta[_MIXED]:
        wording.say_err("Note: workers may differ (--mixed), so the last bits of W are not reproducible.")
    with connected(where, mixed) if local is None else local_cluster(int(local[1])):
        yield


class _Opened(NamedTuple):
    """A job with its scaling, its data, their engine, and what computed the features."""

    job: Job
    shards: Shards
    engine: ChunkedEngine
    extractor: FeatureExtractor | None


@contextmanager
def _opened(job: Job, where: str, progress: Progress) -> Iterator[_Opened]:
    """Connect to a cluster, and let its workers read the shards."""
    from softmargin.data.shards import open_shards

    progress("opening the shards")
    columns, made_by = job.options()["columns"], _extractor_of(job.data)
    shards = open_shards(job.data, label_column=job.label_column, columns=columns, weights_column=job.weights)
    factors = sampling.factors_of_shards(sampling.read_factors(job.class_weight), shards, job.class_weight)
    shards = shards.weighted(factors)
    if job.label_column is None and shards.label_column is not None:
        wording.say_err(
            f"Note: labels are from the column {quoted(shards.label_column)}, and all other columns are features "
            f"(see --label-column, --columns)."
        )
    if made_by is not None and job.scaling == "auto":
        job = replace(job, scaling=made_by.scaling)
    progress("connecting to the cluster")
    with client_of(where):
        from softmargin.engines.dask import dask_engine

        progress("waiting for the workers (kernels are compiled if not cached)")
        yield _Opened(job, shards, dask_engine(shards, job.threads), made_by)


class Fitted(NamedTuple):
    """What a fit on a cluster returns: the seconds are those without the start of the cluster."""

    model: Model
    accuracy: float
    shards: Shards
    choice: Comparison | None
    status: str
    seconds: float


def fit_shards(job: Job, where: str, checkpoint: str | None, progress: Progress) -> Fitted:
    """Fit the given loss and λ, or those that are selected, to all samples."""
    from softmargin.evaluation.parts import evaluate_shards
    from softmargin.model import Model
    from softmargin.training import train_on

    losses = job.losses()
    with _opened(job, where, progress) as (job, shards, engine, made_by):
        started, choice = time.perf_counter(), None
        if len(losses) > 1 or job.reg is None:
            choice = job.search_shards(shards, losses, progress, lambda *_: engine)
        else:
            job.note_unused()
        loss, reg = (losses[0], job.reg) if choice is None else (choice.loss, choice.reg)
        assert reg is not None, "without a choice, λ was given"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # reported by the command
            trained = train_on(
                shards, None, loss, reg, job.scaling,
                tol=job.tol, max_passes=job.max_passes or MAX_PASSES, checkpoint=checkpoint,
                callback=lambda step: progress(stage(loss, reg, step)), engine=lambda *_: engine,
            )  # fmt: skip
        progress("evaluating")
        model = Model(
            **trained.numbers(), n_samples=shards.n_samples, fingerprint=engine.fingerprint(weighted=False),
            data_name=_name(job), history=trained.fit.record(), command=command_line(), extractor=made_by,
            feature_names=shards.feature_names, label_column=shards.label_column,
            weights_column=shards.weights_column, selection={} if choice is None else choice.record(),
        )  # fmt: skip
        accuracy = evaluate_shards(model, shards, engine="dask").accuracy.value
        assert accuracy is not None, "it is always defined"
        return Fitted(model, accuracy, shards, choice, trained.fit.status, time.perf_counter() - started)


def compare_shards(job: Job, where: str, progress: Progress) -> tuple[Comparison, Shards, dict[str, Any], float]:
    """Return the comparison of the losses, the data, their record for JSON, and the seconds that it took."""
    losses = job.losses()
    with _opened(job, where, progress) as (job, shards, engine, _):
        started = time.perf_counter()
        found = job.search_shards(shards, losses, progress, lambda *_: engine)
        return found, shards, _described(job, shards, engine), time.perf_counter() - started


def _name(job: Job) -> str:
    return os.path.basename(os.path.normpath(job.data))


def _extractor_of(folder: str) -> FeatureExtractor | None:
    """Return the extractor of a folder of features, if it names one."""
    from softmargin.data.embedded import read_origin

    if read_origin(folder) is None:
        return None
    from softmargin.features.shards import stored_extractor  # slow to import

    return stored_extractor(folder)


def _described(job: Job, shards: Shards, engine: ChunkedEngine) -> dict[str, Any]:
    """Return what `reading.describe` returns for data in memory."""
    assert engine.labels is not None, "shards have labels"
    return {
        "name": _name(job), "n_samples": shards.n_samples, "n_features": shards.n_features, "image_shape": None,
        "dtype": str(shards.dtype), "fingerprint": engine.fingerprint(weighted=False),
        "classes": dict(zip(map(str, engine.labels.tolist()), engine.class_counts.tolist(), strict=True)),
    }  # fmt: skip


def print_shards(source: str, shards: Shards, n_classes: int) -> None:
    """Print the size of the data."""
    wording.say(
        f"{source}: {pluralize(shards.n_samples, 'training sample')} in "
        f"{pluralize(len(shards.parts), 'file')}, {pluralize(shards.n_features, 'feature')} "
        f"({shards.dtype}), {pluralize(n_classes, 'class', 'classes')}."
    )
    wording.say()
