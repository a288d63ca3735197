"""What to write instead of calls that no layer computes."""

from systolith.trace import Call
from systolith.trace.modules import kind_of

__all__ = ["SUPPORTED", "unsupported"]

SUPPORTED = (
    "supported are convolutions, also transposed ones, Linear, BatchNorm, functions of each value "
    "such as ReLU, PReLU and SiLU, pools, Flatten, padding with a constant, nearest Upsample, "
    "addition, multiplication, concatenation, slices and shuffles of channels, PixelShuffle, "
    "Dropout and Identity"
)

_NORM = "computes statistics of each image; train with BatchNorm instead, whose are constants"
_RECURRENT = "has a state; a Conv1d over a window of the sequence has none"
_ATTENTION = "multiplies activations with activations as matrices; use convolutions"
_CHOICE = "chooses by a value; write a function of one tensor, such as clamp, relu or threshold"
_PAIR = "needs add, multiply or concatenate; max(x, y) is y + relu(x - y)"
_RANKING = (
    "ranks values; write argmax(1) at the end, which the host or the chip computes, or return the "
    "logits"
)
_REMEDIES = {
    **dict.fromkeys(
        ("layernorm", "groupnorm", "rmsnorm", "localresponsenorm", "normalize", "var", "std"), _NORM
    ),
    **dict.fromkeys(("instancenorm1d", "instancenorm2d", "instancenorm"), _NORM),
    **dict.fromkeys(("lstm", "gru", "rnn", "lstmcell", "grucell", "rnncell"), _RECURRENT),
    **dict.fromkeys(
        ("multiheadattention", "scaleddotproductattention", "bmm", "baddbmm"), _ATTENTION
    ),
    **dict.fromkeys(("where", "maskedfill", "gt", "lt", "ge", "le", "eq", "ne"), _CHOICE),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), _PAIR),
    **dict.fromkeys(("topk", "sort", "argsort", "kthvalue", "median"), _RANKING),
    "einsum": "write a Conv2d of 1x1, or a Linear, with the constant as its weight",
    "embedding": "reads whole numbers; give the network what the table holds for them",
    "maxunpool2d": "puts values where indices say; use Upsample or ConvTranspose2d",
    "gridsample": "reads pixels between pixels; use Upsample or ConvTranspose2d",
}
"""By name in small letters, without underscores, so that functions and modules share them."""


def unsupported(call: Call) -> str:
    """Reason to refuse a call that no layer computes, with the nearest rewrite if one is known."""
    target = call.target
    if call.module is not None and call.node.op == "call_module":
        name = kind_of(call.module).__name__
    else:
        name = str(getattr(target, "__name__", target)).removeprefix("Tensor.")
    if name in ("max", "min"):  # of two tensors, or the greatest value with its place
        return _PAIR if call.output else _RANKING
    return _REMEDIES.get(name.replace("_", "").lower(), SUPPORTED)
