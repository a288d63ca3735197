"""Operations and layers of a float model, in terms of hardware."""

from dataclasses import dataclass
from math import ceil

from torch import Tensor, nn

from systolith.network import Padding, Shape, reach_of
from systolith.quant.layers.requantizing import Activation
from systolith.quant.returned import Returned
from systolith.trace import Elementwise

__all__ = [
    "Activate",
    "AddUp",
    "Apply",
    "AveragePool",
    "Combine",
    "Convolve",
    "DepthToPixels",
    "Enlarge",
    "Extend",
    "FloatLayer",
    "FloatNetwork",
    "Join",
    "LookUp",
    "MatrixMultiply",
    "MaxPool",
    "Move",
    "Normalize",
    "Operation",
    "Pad",
    "Pass",
    "PixelsToDepth",
    "Product",
    "Reading",
    "Recognized",
    "Reshape",
    "ScaleAndShift",
    "Softmax",
    "TakeChannels",
    "ToVectors",
]


@dataclass(frozen=True, slots=True)
class Convolve:
    """A convolution, with explicit padding; or all phases of a transposed one.

    `phases` are the strides of a transposed convolution, whose weights `module` holds with filters
    first: see :class:`systolith.quant.layers.transposed.QuantConvTranspose2d`. `cut` is what is cut
    off the image that its phases make up.
    """

    module: nn.Conv2d
    padding: Padding
    phases: tuple[int, int] | None = None
    cut: Padding = (0, 0, 0, 0)

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns of the dilated kernel; of the kernel of a phase."""
        kernel, dilation = self.module.kernel_size, self.module.dilation
        if self.phases is not None:
            return ceil(kernel[0] / self.phases[0]), ceil(kernel[1] / self.phases[1])
        return reach_of((kernel[0], kernel[1]), (dilation[0], dilation[1]))


@dataclass(frozen=True, slots=True)
class MatrixMultiply:
    """A linear layer."""

    module: nn.Linear


@dataclass(frozen=True, slots=True)
class Normalize:
    """A batch norm, to be folded."""

    module: nn.BatchNorm2d | nn.BatchNorm1d


@dataclass(frozen=True, slots=True)
class ScaleAndShift:
    """``x * factor + shift`` with constants, to be folded into the layer behind.

    `factor` and `shift` have the shape of one image's tensor; `reason` says why it is refused
    where no layer takes it.
    """

    factor: Tensor
    shift: Tensor
    reason: str


@dataclass(frozen=True, slots=True)
class Activate:
    """A nonlinearity, to be fused."""

    activation: Activation


@dataclass(frozen=True, slots=True, eq=False)
class Apply:
    """A function of each value, to become :class:`LookUp`.

    `ordered` functions do not change the order of values, and are left out at the very end. With a
    `slope`, shape (channels,) or (1,), the function is the identity, times the slope for values
    below 0: it is fused into the layer in front of it, if nothing else reads that.
    """

    ordered: bool = False
    slope: Tensor | None = None

    @property
    def per_channel(self) -> bool:
        """Whether channels have functions of their own."""
        return self.slope is not None and self.slope.numel() > 1


@dataclass(frozen=True, slots=True)
class Combine:
    """Arithmetic of two activations, to become :class:`LookUp` if both depend on one tensor.

    Other products become :class:`Product`; `reason` says why the rest is refused.
    """

    reason: str
    multiplies: bool = False


@dataclass(frozen=True, slots=True)
class LookUp:
    """Any function of one activation, as a table."""

    function: Elementwise


@dataclass(frozen=True, slots=True)
class MaxPool:
    """A max pool."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding
    dilation: tuple[int, int] = (1, 1)

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns of the dilated kernel."""
        return reach_of(self.kernel_size, self.dilation)


@dataclass(frozen=True, slots=True)
class AveragePool:
    """An average pool; `kernel_size` None is global, `counted` None counts all padding."""

    kernel_size: tuple[int, int] | None
    stride: tuple[int, int]
    padding: Padding
    counted: Padding | None = None
    divisor: int | None = None


@dataclass(frozen=True, slots=True)
class Reshape:
    """A new shape for the same values in the same order.

    It becomes :class:`ToVectors` or nothing; `reason` says why it is refused elsewhere.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class ToVectors:
    """Images as vectors."""


@dataclass(frozen=True, slots=True)
class Move:
    """Values at other places, some perhaps left out or repeated.

    Several in a row become :class:`TakeChannels`, :class:`DepthToPixels`, :class:`PixelsToDepth` or
    nothing; `reason` says why it is refused elsewhere.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class TakeChannels:
    """Some channels of an image, or features of a vector, in any order."""

    channels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DepthToPixels:
    """Channels as blocks of pixels; channels of one position are neighbours."""

    block: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PixelsToDepth:
    """Blocks of pixels as channels; channels of one position are neighbours."""

    block: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Join:
    """Channels of several tensors, one tensor after the other."""


@dataclass(frozen=True, slots=True)
class AddUp:
    """Residual addition."""


@dataclass(frozen=True, slots=True)
class Product:
    """Product of two tensors."""


@dataclass(frozen=True, slots=True)
class Pad:
    """Rows and columns of zeros; negative ones are cut off.

    Zeros are folded into the convolution or pool behind where it can take them.
    """

    padding: Padding

    @property
    def crops(self) -> bool:
        """Whether rows or columns are cut off."""
        return min(self.padding) < 0


@dataclass(frozen=True, slots=True)
class Extend:
    """Rows and columns at the borders, repeated outwards."""

    padding: Padding


@dataclass(frozen=True, slots=True)
class Enlarge:
    """Each row and column repeated."""

    factors: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pass:
    """No operation in evaluation: identity, dropout."""


@dataclass(frozen=True, slots=True)
class Softmax:
    """Probabilities of logits, or the predicted class, left out at the very end.

    Parameters
    ----------
    end : str
        What the result is: ``"softmax"`` of the logits, or empty, their class.
    """

    end: str = "softmax"


Operation = (
    Convolve
    | MatrixMultiply
    | Normalize
    | ScaleAndShift
    | Activate
    | Apply
    | Combine
    | LookUp
    | MaxPool
    | AveragePool
    | Reshape
    | ToVectors
    | Move
    | TakeChannels
    | DepthToPixels
    | PixelsToDepth
    | Join
    | AddUp
    | Product
    | Pad
    | Enlarge
    | Extend
    | Pass
    | Softmax
)

Recognized = tuple[Operation | None, list[str]]
"""The operation, and the reasons why it is not supported."""


@dataclass(kw_only=True)
class FloatLayer:
    """One layer of hardware: an operation with a fused batch norm and activation.

    Parameters
    ----------
    name : str
        Readable and unique.
    qualified_name : str
        Name of the module, such as ``"layer1.0.conv1"``, in its first call; otherwise readable name
        of the call.
    operation : Operation
        One that computes, or moves values: none that is folded or fused.
    inputs : tuple of str
        Names of the layers that are read.
    norm : nn.BatchNorm2d or nn.BatchNorm1d, optional
        Batch norm to fold into the convolution or linear layer.
    activation : Activation
        Nonlinearity to fuse.
    slope : Tensor, optional
        Slope of negative values, of :attr:`Activation.SLOPED`; a parameter if it is trained.
    reference : str
        Name of the recorded node with this layer's value; empty if the model has no such value,
        because an activation has moved.
    title : str
        Name and kind of the recorded call, for messages.
    module : str
        Name of the module that is called, also in later calls; empty for functions.
    """

    name: str
    qualified_name: str
    operation: Operation
    inputs: tuple[str, ...]
    norm: nn.BatchNorm2d | nn.BatchNorm1d | None = None
    activation: Activation = Activation.NONE
    slope: Tensor | None = None
    reference: str = ""
    title: str = ""
    module: str = ""

    @property
    def weight(self) -> str:
        """Name of the weight in the model."""
        return f"{self.module or self.qualified_name}.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatNetwork:
    """The layers of a float model.

    Parameters
    ----------
    layers : list of FloatLayer
        Every layer comes after its inputs.
    notes : tuple of str
        Operations left out because they do not change the predicted class.
    returned : Returned
    fixed_shape : bool
        Whether layers may depend on height and width of the images.
    repeated : tuple of str
        Modules whose weights become those of several layers.
    """

    layers: list[FloatLayer]
    notes: tuple[str, ...]
    returned: Returned
    fixed_shape: bool
    repeated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was understood of a float model, and everything that was not.

    Parameters
    ----------
    layers : list of FloatLayer
        Layers that were understood; each comes after its inputs. An input may be the name of a call
        that was refused.
    shapes : dict of str to Shape
        Shape of one image's tensor: of the input, of each layer and of each refused call.
    problems : tuple of str
        Every module and call that cannot become a layer: qualified name, type, reason.
    network : FloatNetwork or None
        The layers that the output depends on; None if there are problems.
    """

    layers: list[FloatLayer]
    shapes: dict[str, Shape]
    problems: tuple[str, ...]
    network: FloatNetwork | None
