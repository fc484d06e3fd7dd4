"""The program of the guide of networks runs, and its certified layer is put back."""

from __future__ import annotations

import pytest
import torch

from tests.test_docs import ROOT, blocks


def test_the_program_of_the_guide():
    torch.manual_seed(0)
    guide = (ROOT / "docs" / "guides" / "networks.md").read_text("utf-8")
    program = "".join(block.text for block in blocks(guide) if block.language == "python")
    space: dict = {}
    exec(program, space)
    data, head, best, model = (space[name] for name in ("data", "head", "best", "model"))
    assert (space["predicted"].numpy() == data.test.y).mean() > 0.9
    assert torch.equal(head.weight, best.weight)
    assert head.gap(space["features"], space["y"], model) == pytest.approx(model.gap, abs=1e-6)
