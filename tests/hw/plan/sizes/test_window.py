"""Window geometry against a search over every pixel."""

from hypothesis import given

from systolith.plan import Window
from tests.support.windows import windows


def _pixels_read(window: Window) -> list[set[int]]:
    """List the pixels inside the image that each window reads."""
    rows, columns = window.output_size
    (sh, sw), (top, _, left, _) = window.stride, window.padding
    (kh, kw), (dh, dw) = window.kernel, window.dilation
    return [
        {
            y * window.width + x
            for y in range(row * sh - top, row * sh - top + kh * dh, dh)
            for x in range(column * sw - left, column * sw - left + kw * dw, dw)
            if 0 <= y < window.height and 0 <= x < window.width
        }
        for row in range(rows)
        for column in range(columns)
    ]


@given(windows())
def test_every_pixel_that_is_read_has_arrived(window: Window) -> None:
    for pixels, needed in zip(_pixels_read(window), window.needed(), strict=True):
        assert needed <= window.input_pixels
        assert all(pixel < needed for pixel in pixels)


@given(windows())
def test_no_freed_pixel_is_read_again(window: Window) -> None:
    reads = _pixels_read(window)
    for number, freed in enumerate(window.freed()):
        later: set[int] = set().union(*reads[number + 1 :])
        assert all(pixel >= freed for pixel in later)


@given(windows())
def test_freed_never_falls_and_ends_with_the_frame(window: Window) -> None:
    freed = list(window.freed())
    assert freed == sorted(freed)
    assert freed[-1] == window.input_pixels


@given(windows())
def test_span_holds_every_window(window: Window) -> None:
    for pixels in _pixels_read(window):
        if pixels:
            assert max(pixels) - min(pixels) < window.span
    assert window.span <= window.steady_span <= 2 * window.input_pixels


def test_a_3x3_window_needs_two_lines_and_three_pixels() -> None:
    window = Window(height=8, width=8, kernel=(3, 3))
    assert window.output_size == (6, 6)
    assert window.span == 2 * 8 + 3
    assert next(window.needed()) == 2 * 8 + 3
