"""What each kind of operation does to channels; and modules, by their types."""

from enum import Enum, auto

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

__all__ = ["IMAGE_AXES", "Flow", "module_flow"]

IMAGE_AXES = 4
"""N, C, H, W."""


class Flow(Enum):
    """How channels go through an operation."""

    PASS = auto()
    """Each on its own, and zero stays zero."""
    REPEAT = auto()
    """As PASS, and each becomes several neighbours: flattening."""
    NORMALIZE = auto()
    """Each on its own; zero becomes something else, which the module's parameters can undo."""
    DEPTHWISE = auto()
    """Each on its own, with filters of its own."""
    PRODUCE = auto()
    """Each filter reads all of them and makes a new one."""
    MIX = auto()
    """Anything else."""


_KEEP_ZERO: tuple[type[nn.Module], ...] = (
    *(nn.Identity, nn.Dropout, nn.Dropout2d),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Hardswish, nn.Tanh, nn.Softsign),
)
_SPATIAL: tuple[type[nn.Module], ...] = (
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    *(nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d),
    *(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d),
)


def module_flow(module: nn.Module, axes: int) -> Flow:
    """Say how channels go through a module that reads one tensor of so many axes.

    Modules are known by their exact types; a subclass may compute something else.
    """
    kind, images = type_before_parametrizations(module), axes == IMAGE_AXES
    match module:
        case nn.Conv2d() if kind is nn.Conv2d and images:
            if module.groups == 1:
                return Flow.PRODUCE
            return Flow.DEPTHWISE if module.groups == module.in_channels else Flow.MIX
        case nn.Linear() if kind is nn.Linear and axes == 2:
            return Flow.PRODUCE
        case nn.BatchNorm2d() if kind is nn.BatchNorm2d and images and module.affine:
            return Flow.NORMALIZE
        case nn.BatchNorm1d() if kind is nn.BatchNorm1d and axes == 2 and module.affine:
            return Flow.NORMALIZE
        case nn.Flatten() if kind is nn.Flatten:
            whole = module.start_dim == 1 and module.end_dim in (-1, axes - 1)
            return Flow.REPEAT if whole else Flow.MIX
        case nn.Hardtanh() if kind is nn.Hardtanh:
            return Flow.PASS if module.min_val <= 0 <= module.max_val else Flow.MIX
        case _ if kind in _KEEP_ZERO or (images and kind in _SPATIAL):
            return Flow.PASS
        case _:
            return Flow.MIX
