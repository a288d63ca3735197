"""How much each weight is worth: pure functions of a weight and what training left on it."""

from typing import Protocol

from torch import Tensor

__all__ = ["Score", "magnitude"]


class Score(Protocol):
    """Worth of each weight; the higher, the sooner it is kept.

    A pure function: it changes neither the weight nor itself. Scores that need more than the weight
    (a gradient, an ensemble's regression) are objects that were given it when they were made, and
    look it up by name.
    """

    def __call__(self, name: str, weight: Tensor) -> Tensor:
        """Score one weight tensor.

        Parameters
        ----------
        name : str
            Qualified name of the parameter, such as ``"conv2.weight"``.
        weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
            The dense weights.

        Returns
        -------
        Tensor of float, shape of weight
        """
        ...


def magnitude(name: str, weight: Tensor) -> Tensor:
    """Score by ``|w|``; the sum of those of a kernel is its L1 norm.

    Notes
    -----
    Han, Pool, Tran, Dally: Learning both weights and connections for efficient neural networks
    (NeurIPS 2015), section 3.
    """
    return weight.detach().abs()
