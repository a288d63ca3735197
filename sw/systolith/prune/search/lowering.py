"""What strided taps take out of a lowered convolution, for all filters at once."""

from math import prod

import torch
from torch import Tensor

from systolith.network import Pattern, WeightShape

__all__ = ["lowered_rows"]


def lowered_rows(pattern: Pattern, shape: WeightShape) -> Tensor:
    """Rows of the lowered input, which are columns of the lowered weights, that are read at all.

    A convolution is ``Y = Wm Xc``, Wm (F, C * Kh * Kw) being the weights, Xc (C * Kh * Kw, Ho * Wo)
    the input as :func:`torch.nn.functional.unfold` lowers it. Filters share the offset of a
    channel, so with these rows r, ``Y = Wm[:, r] Xc[r]``: the product shrinks, whatever is
    selected.

    Parameters
    ----------
    pattern : Pattern
        Its taps.
    shape : WeightShape
        (F, C, Kh, Kw).

    Returns
    -------
    Tensor of bool, shape (C * Kh * Kw,)
        True is read.

    Raises
    ------
    NetworkError
        If the taps cannot be laid over the shape.

    Notes
    -----
    Anwar, Hwang, Sung: Structured pruning of deep convolutional neural networks (ACM JETC 13(3),
    2017), intra-kernel strided sparsity with the constraint that makes it pay.

    Examples
    --------
    >>> from systolith.network import Strided
    >>> lowered_rows(Pattern(taps=Strided(2, (0, 1))), (8, 2, 1, 3)).tolist()
    [True, False, True, False, True, False]
    """
    return torch.from_numpy(pattern.tap_mask(shape)).reshape(prod(shape[1:]))
