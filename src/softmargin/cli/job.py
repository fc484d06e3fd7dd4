"""What `fit` and `compare` share: data to read, losses to try, a search among them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from softmargin.cli.options import LOSS_NAMES
from softmargin.cli.progress import Progress, stage
from softmargin.cli.reading import Reading, labels_of, naming, read_data
from softmargin.cli.wording import say_err
from softmargin.errors import DataError, ParameterError

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.features import FeatureExtractor
    from softmargin.losses import Loss
    from softmargin.samples import Labelled
    from softmargin.selection import Comparison, FeatureComparison

__all__ = ["Extraction", "Job", "Task"]


@dataclass(frozen=True, kw_only=True)
class Extraction(Reading):
    """How to read DATA and compute features, by the names of the parameters."""

    data: str
    specs: tuple[str, ...]
    pool: str | None
    image_size: tuple[int, int] | None
    threads: int | None

    def inputs(self, extractors: Mapping[str, FeatureExtractor | None]) -> list[str | None]:
        """Return the files that the command reads, which it must not overwrite."""
        files = [file for extractor in extractors.values() if extractor is not None for file in extractor.files()]
        return [self.data, self.labels_file, *files]

    def extractors(self) -> dict[str, FeatureExtractor | None]:
        """Return the extractors to try, by the words that describe them; None for DATA as it is."""
        from softmargin.features import make_extractor

        if not self.specs:
            if self.pool is not None:
                raise ParameterError("--pool needs --features FILE.onnx.")
            return {"": None}
        made: dict[str, FeatureExtractor] = {}
        for spec in self.specs:
            pool, size = self.pool, self.image_size
            if len(set(self.specs)) > 1:  # an option is for those that can use it; a network has its own size
                pool, size = (pool, None) if spec.lower().endswith(".onnx") else (None, size)
            made[spec] = make_extractor(spec, pool=pool, image_size=size)
        kinds = {extractor.takes for extractor in made.values()}
        if len(kinds) > 1:
            raise ParameterError(
                f"All --features must take pictures, or all texts, got {' and '.join(self.specs)}."
            )
        is_plain = list(made) == ["pixels"]
        return {"pixels": None} if is_plain else dict(made)


class Task(NamedTuple):
    """Data with one kind of features, and their checked samples."""

    data: Dataset
    samples: Labelled


@dataclass(frozen=True, kw_only=True)
class Job(Extraction):
    """The options of both commands, by the names of their parameters."""

    names: tuple[str, ...]
    delta: float | None
    folds: int | None
    scaling: str
    normalize_rows: bool

    def fit_options(self, data: Dataset) -> dict[str, Any]:
        """Return arguments of `LinearClassifier`."""
        return {
            "scaling": self.scaling_of(data), "normalize_rows": self.normalize_rows, "n_threads": self.threads,
        }  # fmt: skip

    def scaling_of(self, data: Dataset) -> str:
        """Return the scaling; "auto" is the one that suits the extractor of the features, if there is one."""
        from softmargin.features import extractor_of

        extractor = extractor_of(data)
        return self.scaling if extractor is None or self.scaling != "auto" else extractor.scaling

    def losses(self) -> list[Loss]:
        """Return the losses to try."""
        from softmargin.losses import make_loss

        if self.delta is not None and set(self.names) == {"cross_entropy"}:
            raise ParameterError("--delta is the margin of the hinge losses and not an option of cross_entropy.")
        return [make_loss(name, self.delta or 1.0) for name in dict.fromkeys(self.names or LOSS_NAMES)]

    def read(self, extractors: Mapping[str, FeatureExtractor | None], progress: Progress) -> dict[str, Task]:
        """Return the data for each extractor; all parts are checked before anything is fitted."""
        return {spec: self._read(progress, extractor) for spec, extractor in extractors.items()}

    def _read(self, progress: Progress, extractor: FeatureExtractor | None) -> Task:
        from softmargin.samples import Labelled, check_finite

        options: dict[str, Any] = {"image_size": self.image_size}
        if extractor is not None:
            options = {"features": extractor, "cache": not self.no_cache, "n_workers": self.threads}
        data = read_data(self.data, self, progress, **options)
        y = labels_of(data, self.data)
        with naming(self.data):
            labelled = Labelled.check(data.X, y, keys=data.keys)
        if data.test is not None:
            with naming(f"the test set of {self.data}"):
                if data.test.n_samples == 0:
                    raise DataError("it contains no samples.")
                check_finite(data.test.X)
        return Task(data, labelled.with_unit_rows() if self.normalize_rows else labelled)

    def search(
        self, task: Task, losses: list[Loss], progress: Progress, *, quick: bool = False, **options: Any
    ) -> Comparison:
        """Select loss and λ by cross-validation; if ``quick``, on a single held-out fifth."""
        from softmargin.selection import choose, compare

        n_folds = 1 if quick else self.folds or 5
        samples = task.samples
        options |= {"scaling": self.scaling_of(task.data), "n_threads": self.threads}
        options["callback"] = lambda loss, reg, fold, step: progress(stage(loss, reg, step, fold, n_folds))
        with _noting():
            if quick:
                return choose(samples, samples.labels, losses, **options)
            found = compare(samples, samples.labels, losses, cv=n_folds, **options)
        _note_fewer_folds(found, n_folds)
        return found

    def search_features(
        self,
        tasks: Mapping[str, Task],
        losses: list[Loss],
        progress: Progress,
        *,
        quick: bool = False,
        **options: Any,
    ) -> FeatureComparison:
        """Select features, loss and λ, on the same folds for all; if ``quick``, on a single held-out fifth."""
        from softmargin.selection import choose_features, compare_features

        n_folds = 1 if quick else self.folds or 5
        sets = {spec: task.samples for spec, task in tasks.items()}
        options |= {"scaling": {spec: self.scaling_of(task.data) for spec, task in tasks.items()}}
        options["n_threads"] = self.threads
        options["callback"] = lambda name, loss, reg, fold, step: progress(
            f"{name}: {stage(loss, reg, step, fold, n_folds)}"
        )
        with _noting():
            if quick:
                return choose_features(sets, losses, **options)
            found = compare_features(sets, losses, cv=n_folds, **options)
        _note_fewer_folds(found.comparison, n_folds)
        return found


@contextmanager
def _noting() -> Iterator[None]:
    """Print each warning of a search once, as a note."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        say_err(f"Note: {text}")


def _note_fewer_folds(found: Comparison, n_folds: int) -> None:
    if len(found.folds) < n_folds:
        say_err(f"Note: only {len(found.folds)} folds are used, since there are too few samples for {n_folds}.")
