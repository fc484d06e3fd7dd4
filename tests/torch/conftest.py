"""These tests need PyTorch, and run on one thread: pytest fills the cores."""

from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _nothing_compiled() -> None:
    """Forget what other tests compiled: their number is limited."""
    torch.compiler.reset()
