"""The losses as the last layer of a network, fused with its product, for PyTorch (extra ``torch``).

The guide is ``docs/guides/networks.md``.
"""

from softmargin.torch.functions import linear_cross_entropy, linear_hinge, linear_squared_hinge
from softmargin.torch.modules import LinearCrossEntropy, LinearHinge, LinearSquaredHinge

__all__ = [
    "LinearCrossEntropy", "LinearHinge", "LinearSquaredHinge", "linear_cross_entropy", "linear_hinge",
    "linear_squared_hinge",
]  # fmt: skip
