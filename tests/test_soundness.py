"""A few of the problems of ``python -m tests.soundness``."""

import pytest

from tests.soundness import false_certificates


@pytest.mark.parametrize("seed", range(24))
def test_no_certificate_is_false_at_fifty_digits(seed):
    wrong, count = false_certificates(seed)
    assert count == 10
    assert wrong == []
