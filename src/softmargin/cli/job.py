"""What `fit` and `compare` share: data to read, losses to try, a search among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softmargin.cli.options import LOSS_NAMES
from softmargin.cli.progress import Progress, stage
from softmargin.cli.reading import Reading, labels_of, read_data
from softmargin.errors import DataError

if TYPE_CHECKING:
    from softmargin.data import Dataset
    from softmargin.losses import Loss
    from softmargin.samples import Labelled
    from softmargin.selection import Comparison

__all__ = ["Job"]


@dataclass(frozen=True, kw_only=True)
class Job(Reading):
    """The options of both commands, by the names of their parameters."""

    data: str
    names: tuple[str, ...]
    delta: float | None
    folds: int | None
    scaling: str
    normalize_rows: bool
    image_size: tuple[int, int] | None
    threads: int | None

    @property
    def fit_options(self) -> dict[str, Any]:
        """Arguments of `LinearClassifier`."""
        return {"scaling": self.scaling, "normalize_rows": self.normalize_rows, "n_threads": self.threads}

    def losses(self) -> list[Loss]:
        """Return the losses to try."""
        from softmargin.losses import make_loss

        delta = 1.0 if self.delta is None else self.delta
        return [make_loss(name, delta) for name in dict.fromkeys(self.names or LOSS_NAMES)]

    def read(self, progress: Progress) -> Dataset:
        """Read the data, which must have labels."""
        data = read_data(self.data, self, progress, image_size=self.image_size)
        labels_of(data, self.data)
        return data

    def check(self, data: Dataset) -> Labelled:
        """Return the checked samples; name what cannot be used in either part, before anything is fitted."""
        from softmargin.samples import Labelled, check_finite

        where, y = self.data, labels_of(data, self.data)
        try:
            labelled = Labelled.check(data.X, y)
            if data.test is not None:
                where = f"the test part of {self.data}"
                check_finite(data.test.X)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        return labelled.with_unit_rows() if self.normalize_rows else labelled

    def search(
        self, samples: Labelled, losses: list[Loss], regs: list[float] | str, progress: Progress, **options: Any
    ) -> Comparison:
        """Choose loss and λ by cross-validation; by one held-out fifth if there are no folds."""
        from softmargin.selection import choose, compare

        n_folds = self.folds or 1
        options |= {"scaling": self.scaling, "n_threads": self.threads}
        options["callback"] = lambda loss, reg, fold, step: progress(stage(loss, reg, step, fold, n_folds))
        if self.folds is None:
            return choose(samples, samples.labels, losses, regs, **options)
        return compare(samples, samples.labels, losses, regs, cv=n_folds, **options)
