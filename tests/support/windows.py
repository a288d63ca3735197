"""Windows of all kinds, wide padding and strides beyond the kernel included."""

from hypothesis import assume
from hypothesis import strategies as st

from systolith.plan import Window


@st.composite
def windows(draw: st.DrawFn) -> Window:
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    window = Window(
        height=draw(st.integers(1, 7)),
        width=draw(st.integers(1, 7)),
        kernel=kernel,
        stride=(draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        padding=(
            draw(st.integers(0, kernel[0] - 1)),
            draw(st.integers(0, kernel[0] - 1)),
            draw(st.integers(0, kernel[1] - 1)),
            draw(st.integers(0, kernel[1] - 1)),
        ),
    )
    assume(min(window.output_size) >= 1)
    return window
