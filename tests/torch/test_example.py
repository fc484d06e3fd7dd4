"""The example runs on the digits, and the certified layers are at least as good on the training images."""

from __future__ import annotations

import subprocess
import sys

from tests.test_docs import ROOT


def test_a_network_with_each_loss():
    program = [sys.executable, "examples/last_layer.py", "--epochs", "1", "--threads", "1"]
    run = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    _, *lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["cross_entropy", "squared_hinge", "hinge"]
    for line in lines:
        _, _, accuracy, value, gap, best, _, _ = line.split()
        assert float(accuracy) > 0.5
        assert float(best) < float(value)
        assert 0.0 < float(gap.rstrip("%")) < 100.0
