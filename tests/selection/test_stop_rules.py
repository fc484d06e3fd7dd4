"""The end of a path of λ, on made-up curves of the held-out score and loss, and on searches."""

from dataclasses import replace

import numpy as np
import pytest

import softmargin as sm
from softmargin.selection import rules
from softmargin.selection.records import Comparison, FoldPoint, PathPoint

REGS = [float(reg) for reg in np.logspace(0, -7, 12)]


def curve(scores, losses, spread=0.01, noise=0.0):
    """Return the points of a path; the folds differ by ``spread``, and by ``noise`` from one λ to the next."""
    points = []
    for k, (score, loss) in enumerate(zip(scores, losses, strict=True)):
        of_folds = score + spread * np.array([-1.0, 0.0, 1.0]) + noise * (-1.0) ** k * np.array([1.0, -2.0, 1.0])
        folds = tuple(FoldPoint(1.0, 1e-4, 1.0, 0.1, 1.0, loss, one, one, 5, 0.1) for one in of_folds.tolist())
        error = float(of_folds.std(ddof=1)) / np.sqrt(3)
        points.append(PathPoint(10.0 ** (-0.5 * k), folds, float(of_folds.mean()), error))
    return points


@pytest.mark.parametrize(
    ("scores", "losses", "noise", "past"),
    [
        ([0.5, 0.6, 0.599, 0.598], [1.0, 0.9, 0.91, 0.92], 0.0, True),  # two in a row, slightly worse
        ([0.5, 0.6, 0.599], [1.0, 0.9, 0.91], 0.0, False),  # one, slightly worse
        ([0.5, 0.6, 0.59], [1.0, 0.9, 0.91], 0.0, True),  # one, clearly worse
        ([0.5, 0.6, 0.59], [1.0, 0.9, 0.91], 0.02, False),  # the difference varies over the folds
        ([0.5, 0.6, 0.594], [1.0, 0.9, 0.91], 0.0, True),  # just more than one standard error
        ([0.5, 0.6, 0.5945], [1.0, 0.9, 0.91], 0.0, False),  # just less
        ([0.5, 0.6, 0.55, 0.54], [1.0, 0.9, 0.89, 0.88], 0.0, False),  # the loss still falls
        ([0.5, 0.6, 0.59], [1.0, 0.9, 0.9008], 0.0, False),  # the loss is the same up to the gaps of the fits
        ([0.5, 0.6, 0.6, 0.6], [1.0, 0.9, 0.91, 0.92], 0.0, False),  # the score is as good
        ([0.5, 0.6, 0.599, 0.6, 0.599], [1.0, 0.9, 0.91, 0.92, 0.93], 0.0, False),  # not in a row
        ([0.5, 0.6, 0.599, 0.598], [1.0, 0.9, 0.91, 0.85], 0.0, False),  # the loss recovers
        ([0.6, 0.599, 0.598], [0.9, 0.91, 0.92], 0.0, True),  # from the first λ on
        ([0.6], [0.9], 0.0, False),
        ([1.0, 1.0, 1.0], [0.1, 0.11, 0.12], 0.0, False),  # without any error
    ],
)
def test_score_and_loss_become_worse(scores, losses, noise, past):
    points = curve(scores, losses, noise=noise)
    assert rules.is_past_best(points) is past
    assert rules.path_ends(points) >= past


def test_a_plateau_ends_a_path_after_three_values():
    points = curve([0.5, 0.6, 0.6, 0.6, 0.6], [1.0, 0.9, 0.9, 0.9, 0.9])
    assert not rules.path_ends(points[:4])
    assert rules.path_ends(points)
    falling = curve([0.5, 0.6, 0.6, 0.6, 0.6], [1.0, 0.9, 0.88, 0.86, 0.84])
    assert not rules.path_ends(falling)
    assert not rules.is_past_best(points), "values that were given are all fitted on a plateau"


def test_one_split_needs_a_standard_error():
    """Without one, two λ in a row have to be worse."""
    points = [
        PathPoint(reg, (FoldPoint(1.0, 1e-4, 1.0, 0.1, 1.0, loss, score, score, 5, 0.1),), score, error)
        for reg, score, loss, error in [(1.0, 0.8, 0.5, 0.02), (0.1, 0.7, 0.6, 0.02), (0.01, 0.6, 0.7, 0.02)]
    ]
    unknown = [PathPoint(one.reg, one.folds, one.score, float("nan")) for one in points]
    assert rules.is_past_best(points[:2])
    assert not rules.is_past_best(unknown[:2])
    assert rules.is_past_best(unknown)


@pytest.mark.parametrize(
    ("scores", "errors", "far"),
    [
        ([0.2, 0.5, 0.6], [0.01, 0.01, 0.01], True),
        ([0.2, 0.57, 0.6], [0.01, 0.01, 0.01], False),
        ([0.2, 0.5, 0.6], [0.01, 0.03, 0.01], False),  # the score is uncertain
        ([0.2, 0.5, 0.6], [0.01, 0.01, 0.03], False),  # the best score is uncertain
        ([0.2, 0.5, 0.6], [0.01, 0.01, float("nan")], False),
        ([0.7, 0.5, 0.6], [0.01, 0.01, 0.01], True),
        ([0.2, 0.6], [0.0, 0.0], False),  # it is the best
    ],
)
def test_a_score_is_far_below_the_best(scores, errors, far):
    points = curve(scores, [1.0] * len(scores))
    points = [PathPoint(p.reg, p.folds, p.score, error) for p, error in zip(points, errors, strict=True)]
    assert rules.is_far_below(points, 1) is far


@pytest.fixture(scope="module")
def noisy():
    """Two clouds, and a third of the labels at random: a small λ overfits."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    X = rng.normal(size=(120, 40)) + 0.8 * y[:, None]
    return X, np.where(rng.random(120) < 0.33, rng.integers(0, 2, 120), y)


def test_given_values_past_the_best_are_left_out(noisy):
    some = sm.compare(*noisy, ["cross_entropy"], REGS, cv=3, fit_all=False)
    every = sm.compare(*noisy, ["cross_entropy"], REGS, cv=3)
    (path,), (complete,) = some.paths, every.paths
    assert complete.skipped == ()
    assert [point.reg for point in complete.points] == REGS
    assert path.skipped
    assert [point.reg for point in path.points] + list(path.skipped) == REGS
    assert [p.folds[0].value for p in path.points] == [
        p.folds[0].value for p in complete.points[: len(path.points)]
    ]
    assert (path.best, path.one_se) == (complete.best, complete.one_se)
    assert rules.is_past_best(path.points)
    assert not any(rules.is_past_best(path.points[:k]) for k in range(1, len(path.points)))
    sentence = (
        "The smallest values of reg were not fitted, since held-out accuracy and loss had become worse before "
        f"them: {len(path.skipped)} of cross_entropy."
    )
    assert sentence in some.sentences()
    assert not any("were not fitted" in one for one in every.sentences())
    assert Comparison.from_record(some.record()).paths[0].skipped == path.skipped
    older = some.record()
    del older["paths"][0]["skipped"]
    assert Comparison.from_record(older).paths[0].skipped == ()


def test_the_estimator_fits_all_values_unless_told_otherwise(noisy):
    search = sm.LinearClassifierCV(["cross_entropy"], regs=REGS, cv=3)
    assert len(search.fit(*noisy).path_.paths[0].points) == len(REGS)
    assert len(search.set_params(fit_all=False).fit(*noisy).path_.paths[0].points) < len(REGS)


def test_given_values_are_not_judged_by_chance_at_the_large_ones():
    """Informative features of a small scale take effect at a small λ, after noise at the level of chance."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(400, 10))
    y = (z[:, 0] > 0) * 2 + (z[:, 1] > 0)
    z[:, :2] /= 50.0
    found = sm.compare(z, y, ["cross_entropy"], [10.0**-k for k in range(10)], cv=3)
    assert found.reg <= 1e-6
    assert found.paths[0].chosen.score > 0.9


def test_whether_to_fit_all_values_is_a_flag(noisy):
    search = sm.LinearClassifierCV(["cross_entropy"], regs=REGS, cv=3)
    with pytest.raises(sm.ParameterError, match="fit_all must be True or False"):
        search.set_params(fit_all="yes").fit(*noisy)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_large_values_are_passed_over_unless_they_matter(noisy, n_threads):
    X, y = noisy
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 600)
    hidden = np.hstack([rng.normal(size=(600, 1)) + 3.0 * labels[:, None], 50.0 * rng.normal(size=(600, 20))])
    (easy,) = sm.compare(hidden, labels, ["cross_entropy"], cv=3, n_threads=n_threads).paths
    ratios = [one.reg / two.reg for one, two in zip(easy.points, easy.points[1:], strict=False)]
    assert ratios[0] == pytest.approx(10.0**2.5)
    assert ratios[1:] == pytest.approx([10.0**0.5] * (len(ratios) - 1))
    assert rules.is_far_below(easy.points, 1)
    random = np.random.default_rng(1).permutation(y)  # nothing to learn: a large λ is as good as any
    (hard,) = sm.compare(X, random, ["cross_entropy"], cv=3, n_threads=n_threads).paths
    ratios = [one.reg / two.reg for one, two in zip(hard.points, hard.points[1:], strict=False)]
    assert not rules.is_far_below(hard.points, 1)
    assert ratios == pytest.approx([10.0**0.5] * len(ratios)), "none is passed over"


@pytest.mark.parametrize(
    ("scores", "losses", "first", "past"),
    [
        ([0.5, 0.6], [1.0, 0.9], [(0.55, 0.95), (0.56, 0.95)], True),
        ([0.5, 0.6, 0.599], [1.0, 0.9, 0.9], [(0.55, 0.95), (0.56, 0.95)], True),  # whichever λ is the best
        ([0.5, 0.6], [1.0, 0.9], [(0.55, 0.95), (0.60, 0.95)], False),  # as good on one fold
        ([0.5, 0.6], [1.0, 0.9], [(0.55, 0.95), (0.56, 0.9)], False),  # the loss of one fold is as small
        ([0.5, 0.6], [1.0, 0.9], [(0.58, 0.95), (0.587, 0.95)], False),  # just less than two standard errors below
        ([0.5, 0.6], [1.0, 0.9], [(0.58, 0.95), (0.586, 0.95)], True),  # just more
        ([0.6], [0.9], [(0.5, 0.95), (0.5, 0.95)], False),  # a path has two points at least
        ([0.5, 0.6], [1.0, 0.9], [(float("nan"), 0.95), (float("nan"), 0.95)], False),  # a custom scorer
    ],
)
def test_two_folds_may_show_that_a_path_is_past_its_best(scores, losses, first, past):
    """The scores of the best point are 0.59, 0.6 and 0.61, with a standard error of 0.0058."""
    folds = [FoldPoint(1.0, 1e-4, 1.0, 0.1, 1.0, loss, one, one, 5, 0.1) for one, loss in first]
    assert rules.is_past_best_on(curve(scores, losses), folds) == past


def test_the_first_folds_end_a_path(noisy, monkeypatch):
    """Only two folds decide, for any number of threads; the λ is not a point, and the path has no edge there."""
    seen = []

    def gives_up(points, folds):
        seen.append((len(points), [fold.value for fold in folds]))
        return len(points) == 2

    monkeypatch.setattr(rules, "is_past_best_on", gives_up)
    monkeypatch.setattr(rules, "is_far_below", lambda points, k: True)
    paths = [sm.compare(*noisy, ["cross_entropy"], cv=5, n_threads=n).paths[0] for n in (1, 2, 5)]
    asked = [seen[k : k + 3] for k in (0, 3, 6)]
    assert asked[0] == asked[1] == asked[2]
    assert [n for n, _ in asked[0]] == [0, 1, 2]
    assert all(len(values) == 2 for _, values in asked[0])
    for path in paths:
        assert len(path.points) == 2
        assert path.ended_at == pytest.approx(path.points[-1].reg / 10.0**0.5)
        assert [p.folds[4].value for p in path.points] == [p.folds[4].value for p in paths[0].points]
    last = replace(paths[0], best=1)
    assert last.at_edge == ""
    assert replace(last, ended_at=None).at_edge == "smallest"


def test_two_folds_are_too_few_to_leave_some_out(noisy, monkeypatch):
    monkeypatch.setattr(rules, "is_past_best_on", lambda points, folds: True)
    assert sm.compare(*noisy, ["cross_entropy"], cv=2).paths[0].ended_at is None
    given = sm.compare(*noisy, ["cross_entropy"], REGS[:3], cv=3).paths[0]
    assert len(given.points) == 3, "values that were given are all fitted"
