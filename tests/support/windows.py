"""Windows of all kinds, wide padding and strides beyond the kernel included."""

from hypothesis import assume
from hypothesis import strategies as st

from systolith.network import reach_of
from systolith.plan import Window


@st.composite
def windows(draw: st.DrawFn) -> Window:
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    dilation = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    rows, columns = reach_of(kernel, dilation)
    window = Window(
        height=draw(st.integers(1, 7)),
        width=draw(st.integers(1, 7)),
        kernel=kernel,
        stride=(draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        padding=(
            draw(st.integers(0, rows - 1)),
            draw(st.integers(0, rows - 1)),
            draw(st.integers(0, columns - 1)),
            draw(st.integers(0, columns - 1)),
        ),
        dilation=dilation,
    )
    assume(min(window.output_size) >= 1)
    return window
