"""What `fit` and `compare` share: data to read, losses to try, a search among them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from softmargin.cli import sampling
from softmargin.cli.options import LOSS_NAMES
from softmargin.cli.progress import Progress, stage
from softmargin.cli.reading import Reading, check_classes, labels_of, naming, read_data
from softmargin.cli.wording import failed_fits, note_unknown, say_err
from softmargin.errors import ConvergenceWarning, DataError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softmargin.data import Dataset
    from softmargin.engines.registry import EngineFactory
    from softmargin.features import FeatureExtractor
    from softmargin.losses import Loss
    from softmargin.samples import Labelled
    from softmargin.selection import Comparison, FeatureComparison
    from softmargin.shards import Shards

__all__ = ["Extraction", "Job", "Task"]

MAX_PASSES = 2000
"""Default of ``--max-passes`` for the final fit."""


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
        if not self.specs:
            if self.pool is not None:
                raise ParameterError("--pool needs --features FILE.onnx.")
            return {"": None}
        from softmargin.features import make_extractor  # slow to import

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
    """Data with one kind of features, and their checked samples, groups and class weights."""

    data: Dataset
    samples: Labelled
    groups: NDArray[Any] | None = None
    class_weight: dict[Any, float] | str | None = None


@dataclass(frozen=True, kw_only=True)
class Job(Extraction):
    """The options of both commands, by the names of their parameters."""

    names: tuple[str, ...]
    delta: float | None
    folds: int | None
    scaling: str
    normalize_rows: bool
    reg: float | None = None
    regs: tuple[float, ...] | None = None
    quick: bool = False
    groups: str | None = None
    group_by: str | None = None
    rule: str = "best"
    scoring: str = "accuracy"
    seed: int = 0
    class_weight: str | None = None
    weights: str | None = None
    limit: int | None = None
    tol: float = 1e-4
    max_passes: int | None = None

    def check(self) -> None:
        """Raise an error for options that exclude each other, or invalid files, before DATA is read."""
        for one, other in (("quick", "folds"), ("reg", "regs"), ("groups", "group_by")):
            if getattr(self, one) not in (None, False) and getattr(self, other) is not None:
                names = (f"--{name.replace('_', '-')}" for name in (one, other))
                raise ParameterError("{} and {} are mutually exclusive; give only one of them.".format(*names))
        if self.group_by is not None:
            sampling.check_pattern(self.group_by)
        sampling.read_factors(self.class_weight)

    def inputs(self, extractors: Mapping[str, FeatureExtractor | None]) -> list[str | None]:
        """Return the files that the command reads, which it must not overwrite."""
        groups = self.groups if self.groups is not None and sampling.is_file(self.groups) else None
        weights = self.class_weight if self.class_weight != "balanced" else None
        return [*super().inputs(extractors), groups, weights]

    def options(self) -> dict[str, Any]:
        """Return the arguments of `softmargin.load_dataset`."""
        more = {name: value for name, value in self.columns_of_samples().items() if value is not None}
        return super().options() | more

    def columns_of_samples(self) -> dict[str, str | None]:
        """Return the columns of groups and weights, by their name in `softmargin.load_dataset` and a model."""
        column = None if self.groups is None or sampling.is_file(self.groups) else self.groups
        return {"groups_column": column, "weights_column": self.weights}

    def note_unused(self) -> None:
        """Print a note about options of a selection, which have no effect if loss and λ are given."""
        names = ["folds", "quick", "groups", "group_by", "rule", "scoring"]
        defaults: dict[str, Any] = {"quick": False, "rule": "best", "scoring": "accuracy"}
        given = [name for name in names if getattr(self, name) != defaults.get(name)]
        given += ["seed"] if self.seed and self.limit is None else []
        if given:
            listed = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            are = "are" if len(given) > 1 else "is"
            say_err(f"Note: {listed} {are} for the selection, but loss and λ are given, so nothing is selected.")

    def fit_options(self, task: Task) -> dict[str, Any]:
        """Return arguments of `training.train`."""
        return {
            "scaling": self.scaling_of(task.data), "normalize_rows": self.normalize_rows,
            "class_weight": task.class_weight, "n_threads": self.threads,
            "tol": self.tol, "max_passes": self.max_passes or MAX_PASSES,
        }  # fmt: skip

    def settings(self, task: Task | None) -> dict[str, Any]:
        """Return the options of the selection and the fit, for the JSON output; None for shards."""
        import numpy as np

        names = (
            "rule",
            "scoring",
            "seed",
            "reg",
            "regs",
            "folds",
            "quick",
            "limit",
            "tol",
            "max_passes",
            "weights",
        )
        weight, groups = sampling.read_factors(self.class_weight), None
        if task is not None:
            weight, groups = task.class_weight, task.groups
        if isinstance(weight, dict):
            weight = {str(label): factor for label, factor in weight.items()}
        return {name: getattr(self, name) for name in names} | {
            "groups": self.groups,
            "group_by": self.group_by,
            "n_groups": None if groups is None else len(np.unique(groups)),
            "class_weight": weight,
        }

    def scaling_of(self, data: Dataset) -> str:
        """Return the scaling; "auto" is that of the extractor, if any, and "none" for pixels stored as floats.

        Pixels have one unit, however rarely some of them are bright.
        """
        from softmargin.training import extractor_of

        extractor = extractor_of(data)
        if self.scaling == "auto" and extractor is not None:
            return extractor.scaling
        are_floats = data.image_shape is not None and data.X.dtype.kind == "f"
        return "none" if self.scaling == "auto" and are_floats else self.scaling

    def losses(self) -> list[Loss]:
        """Return the losses to try."""
        from softmargin.losses import make_loss

        if self.delta is not None and set(self.names) == {"cross_entropy"}:
            raise ParameterError("--delta is the margin of the hinge losses and not an option of cross_entropy.")
        return [make_loss(name, self.delta or 1.0) for name in dict.fromkeys(self.names or LOSS_NAMES)]

    def read(self, extractors: Mapping[str, FeatureExtractor | None], progress: Progress) -> dict[str, Task]:
        """Return the data for each extractor; all parts are checked before anything is fitted."""
        tasks = {spec: self._read(progress, extractor) for spec, extractor in extractors.items()}
        data, samples, *_ = next(iter(tasks.values()))
        if data.test is not None and data.test.y is not None:
            note_unknown(data.test.y, samples.classes)
        return tasks

    def _read(self, progress: Progress, extractor: FeatureExtractor | None) -> Task:
        from softmargin.samples import Labelled, check_finite

        options: dict[str, Any] = {"image_size": self.image_size}
        if extractor is not None:
            options = {"features": extractor, "cache": not self.no_cache, "n_workers": self.threads}
        data = read_data(self.data, self, progress, labelled=True, **options)
        y = labels_of(data, self.data)
        groups = self._groups(data)
        if groups is not None and len(set(groups.tolist())) == len(groups):
            say_err("Note: each sample is its own group, so the groups have no effect.")
        if self.limit is not None and self.limit < data.n_samples:
            rows = sampling.limited(data, self.limit, self.seed)
            say_err(f"Note: using {len(rows):,} of {data.n_samples:,} training samples (--limit).")
            data, y, groups = data.take(rows), y[rows], None if groups is None else groups[rows]
        check_classes(y, self.data)
        with naming(self.data):
            labelled = Labelled.check(data.X, y, data.weights, keys=data.keys)
        factors = sampling.read_factors(self.class_weight)
        weights = sampling.factors_by_class(factors, labelled.classes, self.class_weight)
        if data.test is not None:
            with naming(f"the test set of {self.data}"):
                if data.test.n_samples == 0:
                    raise DataError("it contains no samples.")
                check_finite(data.test.X)
        return Task(data, labelled.with_unit_rows() if self.normalize_rows else labelled, groups, weights)

    def _groups(self, data: Dataset) -> NDArray[Any] | None:
        if self.group_by is not None:
            return sampling.groups_by_name(data, sampling.check_pattern(self.group_by), self.data)
        if self.groups is not None and sampling.is_file(self.groups):
            return sampling.read_groups(self.groups, data.n_samples, f"training samples of {self.data}")
        return data.groups

    def _search_options(self, groups: Any, class_weight: Any) -> dict[str, Any]:
        """Return the arguments that all functions of `softmargin.selection` share."""
        regs: Any = "auto" if self.regs is None else self.regs
        options = {
            "regs": regs if self.reg is None else [self.reg], "groups": groups, "rule": self.rule,
            "class_weight": class_weight, "scoring": self.scoring, "seed": self.seed,
            "n_threads": self.threads,
        }  # fmt: skip
        return options if self.max_passes is None else options | {"max_passes": self.max_passes}

    def search(
        self, task: Task, losses: list[Loss], progress: Progress, *, keep_out_of_fold: bool = False
    ) -> Comparison:
        """Select loss and λ by cross-validation; if ``quick``, on a single held-out fifth."""
        options = self._search_options(task.groups, task.class_weight) | {"scaling": self.scaling_of(task.data)}
        options["keep_out_of_fold"] = keep_out_of_fold
        return self._search(task.samples, task.samples.labels, losses, progress, options)

    def search_shards(
        self, shards: Shards, losses: list[Loss], progress: Progress, engine: EngineFactory
    ) -> Comparison:
        """Select loss and λ as `search` does, on samples in shards."""
        options = self._search_options(None, None) | {"scaling": self.scaling, "engine": engine}
        return self._search(shards, None, losses, progress, options)

    def _search(
        self, X: Labelled | Shards, y: Any, losses: list[Loss], progress: Progress, options: dict[str, Any]
    ) -> Comparison:
        from softmargin.selection import choose, compare

        n_folds = 1 if self.quick else self.folds or 5
        options["callback"] = lambda loss, reg, fold, step: progress(stage(loss, reg, step, fold, n_folds))
        with _noting():
            found = choose(X, y, losses, **options) if self.quick else compare(X, y, losses, cv=n_folds, **options)
        self._warn([found], found, n_folds)
        return found

    def search_features(
        self,
        tasks: Mapping[str, Task],
        losses: list[Loss],
        progress: Progress,
        *,
        keep_out_of_fold: bool = False,
    ) -> FeatureComparison:
        """Select features, loss and λ, on the same folds for all; if ``quick``, on a single held-out fifth."""
        from softmargin.selection import choose_features, compare_features

        n_folds = 1 if self.quick else self.folds or 5
        sets = {spec: task.samples for spec, task in tasks.items()}
        first = next(iter(tasks.values()))
        options = self._search_options(first.groups, first.class_weight)
        options["keep_out_of_fold"] = keep_out_of_fold
        options["scaling"] = {spec: self.scaling_of(task.data) for spec, task in tasks.items()}
        options["callback"] = lambda name, loss, reg, fold, step: progress(
            f"{name}: {stage(loss, reg, step, fold, n_folds)}"
        )
        with _noting():
            if self.quick:
                found = choose_features(sets, losses, **options)
            else:
                found = compare_features(sets, losses, cv=n_folds, **options)
        self._warn(found.comparisons.values(), found.comparison, n_folds)
        return found

    def _warn(self, comparisons: Collection[Comparison], found: Comparison, n_folds: int) -> None:
        """Print what makes the result of a search among some comparisons doubtful."""
        from softmargin.selection.wording import uncalibrated_sentence, unconverged_sentence

        if len(found.folds) < n_folds:
            few = "samples" if found.recorded.n_groups is None else "groups"
            used = "1 fold is" if len(found.folds) == 1 else f"{len(found.folds)} folds are"
            say_err(f"Note: only {used} used, since there are too few {few} for {n_folds}.")
        unconverged = unconverged_sentence(found) or failed_fits(comparisons, found)
        for sentence in (unconverged, uncalibrated_sentence(found)):
            if sentence:
                say_err(f"Warning: {sentence}")


@contextmanager
def _noting() -> Iterator[None]:
    """Print each warning of a search once, as a note; that of a fit that did not converge is printed elsewhere."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        say_err(f"Note: {text}")
