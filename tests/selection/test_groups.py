"""Groups are never on both sides of a fold; the parts have their share of each class."""

from __future__ import annotations

import numpy as np
import pytest

import softmargin as sm
from softmargin.errors import DataError
from softmargin.samples import Labelled
from softmargin.selection import choose, compare, content_hashes, group_numbers, held_out, make_folds
from softmargin.selection.groups import deal_groups

N = 400


def grouped(n_groups=40, n_classes=4, seed=0):
    """Return features, labels and groups of different sizes, each of one to three classes."""
    rng = np.random.default_rng(seed)
    sizes = rng.dirichlet(np.ones(n_groups))
    groups = rng.choice(n_groups, N, p=sizes)
    offsets = rng.integers(0, n_classes, n_groups)
    y = (offsets[groups] + rng.integers(0, 3, N)) % n_classes
    return rng.normal(size=(N, 5)), y, np.char.add("patient ", groups.astype(str))


def folds_of(X, y, groups, cv=5, weights=None, seed=0):
    labelled = Labelled.check(X, y, weights)
    return make_folds(cv, labelled, content_hashes(X, seed), groups)


@pytest.mark.parametrize("seed", range(8))
def test_folds_keep_groups_together_and_classes_in_proportion(seed):
    X, y, groups = grouped(seed=seed)
    folds = folds_of(X, y, groups)
    assert np.array_equal(np.sort(np.concatenate([fold.validation for fold in folds])), np.arange(N))
    for fold in folds:
        assert set(groups[fold.training]).isdisjoint(groups[fold.validation])
        assert len(fold.training) + len(fold.validation) == N
    largest = np.unique(groups, return_counts=True)[1].max()
    for label in range(4):
        held = [np.count_nonzero(y[fold.validation] == label) for fold in folds]
        assert max(held) - min(held) <= largest
    assert max(map(len, (fold.validation for fold in folds))) <= max(largest, 1.3 * N / 5)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_rows_and_the_names_of_groups_change_nothing(seed):
    X, y, groups = grouped(seed=seed)
    order = np.random.default_rng(seed).permutation(N)
    renamed = np.array([f"{hash(name) & 0xFFFF:05d} {name}" for name in groups])
    for cv in (2, 5):
        one = [set(fold.validation.tolist()) for fold in folds_of(X, y, groups, cv)]
        other = [set(order[fold.validation].tolist()) for fold in folds_of(X[order], y[order], renamed[order], cv)]
        assert one == other


def test_weights_are_copies_and_rows_without_weight_are_in_no_part():
    X, y, groups = grouped()
    weights = np.random.default_rng(1).integers(0, 3, N)
    rows = np.repeat(np.arange(N), weights)
    one = [set(fold.validation.tolist()) for fold in folds_of(X, y, groups, weights=weights)]
    other = [set(rows[fold.validation].tolist()) for fold in folds_of(X[rows], y[rows], groups[rows])]
    assert one == other
    assert set().union(*one) == set(np.flatnonzero(weights).tolist())


def test_the_seed_decides_between_groups_of_equal_size():
    rng = np.random.default_rng(0)
    X, y, groups = rng.normal(size=(120, 3)), np.arange(120) % 2, np.arange(120) // 4
    found = {
        tuple(
            sorted(map(tuple, (np.unique(groups[fold.validation]) for fold in folds_of(X, y, groups, seed=seed))))
        )
        for seed in range(5)
    }
    assert len(found) == 5


def test_the_only_group_of_a_class_is_always_trained_on():
    X, y, groups = grouped()
    y = np.where(groups == groups[0], 9, y)
    for fold in folds_of(X, y, groups):
        assert set(np.flatnonzero(y == 9)) <= set(fold.training)


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_fewer_groups_than_folds(n_groups):
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    groups = np.arange(60) // 2 % n_groups
    folds = folds_of(X, y, groups)
    assert len(folds) == n_groups
    assert compare(X, y, ["squared_hinge"], [0.1], groups=groups, cv=5).recorded.n_groups == n_groups


@pytest.mark.parametrize(
    "groups",
    [np.zeros(60), np.arange(60) % 2, np.array(["a", "b"])[np.arange(60) % 2]],
    ids=["one", "classes", "text"],
)
def test_groups_that_cannot_be_held_out(groups):
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    for call in (compare, choose):
        with pytest.raises(DataError, match="At least one class must have samples in two groups"):
            call(X, y, ["hinge"], [0.1], groups=groups)


@pytest.mark.parametrize("n_groups", [2, 3, 5, 40])
def test_the_held_out_part_honours_groups(n_groups):
    X, y = np.random.default_rng(0).normal(size=(N, 3)), np.arange(N) % 3
    groups = np.arange(N) // 3 % n_groups
    fold = held_out(y, np.ones(N), 0.2, content_hashes(X), groups)
    assert set(groups[fold.training]).isdisjoint(groups[fold.validation])
    assert set(y[fold.training]) == {0, 1, 2}
    assert len(fold.validation) == pytest.approx(
        0.2 * N if n_groups >= 5 else N / n_groups, abs=N / n_groups / 2 + 3
    )
    found = choose(X, y, ["squared_hinge"], [0.1], groups=groups)
    assert found.folds == ((len(fold.training), len(fold.validation)),)


def test_each_group_goes_where_the_imbalance_grows_least():
    """The dealing, written as a plain loop over classes and parts."""
    X, y, names = grouped(n_groups=12)
    groups = group_numbers(names, N)
    n_groups = int(groups.max()) + 1
    shares = np.array([0.5, 0.3, 0.2])
    hashes = content_hashes(X)
    parts = deal_groups(y, np.ones(N), hashes, groups, shares)
    members = [np.flatnonzero(groups == g) for g in range(n_groups)]
    order = sorted(range(n_groups), key=lambda g: (-len(members[g]), hashes[members[g]].min()))
    loads = [{} for _ in shares]
    for g in order:
        sizes = {"all": len(members[g])} | {
            c: int((y[members[g]] == c).sum()) for c in set(y[members[g]].tolist())
        }
        totals = {"all": N} | {c: int((y == c).sum()) for c in range(4)}
        growth = [
            sum(((load.get(c, 0) + n) ** 2 - load.get(c, 0) ** 2) / totals[c] ** 2 for c, n in sizes.items())
            / share
            for load, share in zip(loads, shares, strict=True)
        ]
        part = int(np.argmin(growth))
        for c, n in sizes.items():
            loads[part][c] = loads[part].get(c, 0) + n
        assert set(parts[members[g]].tolist()) == {part}


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (np.arange(3), r"groups must have shape \(60,\), got \(3,\)"),
        ([[1]] * 60, r"groups must have shape \(60,\), got \(60, 1\)"),
        ([None] + ["a"] * 59, "groups must name the group of each sample, got None in row 0"),
        ([1.0, np.nan] * 30, "groups must name the group of each sample, got nan in row 1"),
        (
            np.array(["a", 1] * 30, dtype=object),
            "groups must be all strings or all numbers, got the types int, str",
        ),
    ],
)
def test_groups_that_are_not_groups(groups, said):
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    for call in (compare, choose):
        with pytest.raises(DataError, match=said):
            call(X, y, ["hinge"], [0.1], groups=groups)
    with pytest.raises(DataError, match=said):
        sm.LinearClassifierCV(["hinge"], regs=[0.1]).fit(X, y, groups=groups)


def test_groups_that_leak():
    """Forty patients with 25 nearly equal rows each; the label depends on the patient, and not on the features."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 25)
    X = rng.normal(size=(40, 64))[patients] + 0.05 * rng.normal(size=(1000, 64))
    y = rng.permutation(np.arange(40) % 2)[patients]
    settings = {"losses": ["squared_hinge"], "regs": [1e-2, 1e-3]}
    assert compare(X, y, **settings).chosen_path.chosen.validation_accuracy > 0.99
    assert choose(X, y, **settings).chosen_path.chosen.validation_accuracy > 0.99
    settings["losses"] = ["squared_hinge", "hinge"]
    found = compare(X, y, groups=patients, **settings)
    honest = found.chosen_path.chosen.validation_accuracy
    assert "the p-values are too small." in found.reason()
    assert "p-values are too small" not in compare(X[:100], y[:100], **settings).reason()
    assert abs(honest - 0.5) < 0.25  # three standard errors of a coin that is tossed once per patient
