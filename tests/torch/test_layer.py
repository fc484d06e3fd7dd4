"""Tiles keep within their memory, and cover all scores."""

from __future__ import annotations

import itertools

import pytest
import torch

from softmargin.torch.layer import Layer, Setting
from tests.torch.heads import problem

SIZES = list(itertools.product((1, 2000), (2, 700, 3000), (1, 90)))


@pytest.mark.parametrize("budget", [1, 5_000, 300_000, 64_000_000, 256_000_000])
@pytest.mark.parametrize(("n", "n_classes", "n_features"), SIZES)
def test_tiles_keep_within_the_budget(n, n_classes, n_features, budget):
    setting = Setting("hinge", 1.0, 0.0, -100, True, budget, torch.float32)
    x, weight = torch.empty(n, n_features, device="meta"), torch.empty(n_classes, n_features, device="meta")
    layer = Layer(x, weight, torch.empty(n, device="meta"), None, setting, torch.float32)
    rows, classes = layer.tile_rows, layer.tile_classes
    assert 1 <= rows <= n
    assert 1 <= classes <= n_classes
    # Two numbers for each score of a tile, and a block of W and one of its gradient.
    assert 8 * classes * (rows + n_features) <= budget or rows == classes == 1
    assert layer._tile.nbytes <= budget or rows == classes == 1
    if rows < n and classes > 1:  # nearly as large as the budget allows
        assert 8 * (classes + 64) * (rows + 64 + n_features) > budget
    assert sum(block.stop - block.start for block, _, _ in layer.blocks()) == n_classes


def test_blocks_and_rows_cover_all_scores_once():
    at = problem((23, 150, 7))
    setting = Setting("hinge", 1.0, 0.0, -100, True, 16 * 40 * 47, torch.float64)
    layer = Layer(at.x.detach(), at.weight.detach(), at.target, at.bias.detach(), setting, torch.float64)
    seen = torch.zeros(23, 150)
    scores = torch.empty(23, 150, dtype=torch.float64)
    for block, weights, bias in layer.blocks():
        for rows in layer.rows():
            seen[rows, block] += 1
            scores[rows, block] = layer.scores(rows, weights) + bias
    assert bool((seen == 1).all())
    expected = torch.nn.functional.linear(at.x, at.weight, at.bias)
    torch.testing.assert_close(scores, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer.target_scores(), expected.gather(1, at.target[:, None])[:, 0].detach())
    assert layer.edges().tolist() == [*range(0, 150, layer.tile_classes), 150]
