"""Draw operators that move values."""

import numpy as np

from systolith.fuzz.files.ordering import draw_order, draw_shape, draw_shuffle
from systolith.fuzz.files.sheet import Sheet

__all__ = ["draw_move"]


def draw_move(sheet: Sheet, source: int) -> list[int]:
    """Draw padding, a slice, a split, joined tensors, resizing, blocks, or another shape."""
    moves = [_draw_slice, _draw_split, _draw_join, _draw_vector, draw_order, draw_order]
    if len(sheet.shape(source)) == 4:
        moves += [_draw_padding, _draw_resize, _draw_blocks, draw_shuffle]
    return sheet.choices.one_of(moves)(sheet, source)


def _draw_padding(sheet: Sheet, source: int) -> list[int]:
    choices = sheet.choices
    pads = [[0, 0], *([choices.integer(0, 2), choices.integer(0, 2)] for _ in range(2)), [0, 0]]
    shape = [size + sum(by) for size, by in zip(sheet.shape(source), pads, strict=True)]
    inputs = [source, sheet.constant(pads)]
    if choices.chance(60):
        return [sheet.operator("PAD", inputs, shape, like=source)]
    tensor = sheet.file.tensors[source]
    value = np.array([int(sheet.rng.integers(-128, 128))], dtype=np.int8)
    inputs.append(sheet.constant(value, scale=tensor.scale[0], zero=tensor.zero[0]))
    return [sheet.operator("PADV2", inputs, shape, like=source)]


def _draw_slice(sheet: Sheet, source: int) -> list[int]:
    choices, shape = sheet.choices, sheet.shape(source)
    begins = [0, *(choices.integer(0, (size - 1) // 2) for size in shape[1:])]
    ends = [
        1,
        *(size - choices.integer(0, (size - begin - 1) // 2) for size, begin in
          zip(shape[1:], begins[1:], strict=True)),
    ]  # fmt: skip
    if choices.chance(50):
        sizes = [end - begin for begin, end in zip(begins, ends, strict=True)]
        given = [-1 if end == size and choices.chance(30) else by
                 for by, end, size in zip(sizes, ends, shape, strict=True)]  # fmt: skip
        inputs = [source, sheet.constant(begins), sheet.constant(given)]
        return [sheet.operator("SLICE", inputs, sizes, like=source)]
    strides = [1, *(choices.integer(1, 2) for _ in shape[1:])]
    begin_mask, end_mask = choices.integer(0, 15), choices.integer(0, 15)
    dropped = choices.integer(1, len(shape) - 1) if choices.chance(15) and len(shape) > 2 else 0
    if dropped:
        ends[dropped], strides[dropped] = begins[dropped] + 1, 1
    sizes = [
        len(range(
            0 if begin_mask >> axis & 1 else begins[axis],
            size if end_mask >> axis & 1 else ends[axis],
            strides[axis],
        ))
        for axis, size in enumerate(shape)
    ]  # fmt: skip
    if dropped:
        del sizes[dropped]
    inputs = [source, *(sheet.constant(values) for values in (begins, ends, strides))]
    return [
        sheet.operator(
            "STRIDED_SLICE", inputs, sizes, "StridedSliceOptions", like=source,
            BeginMask=begin_mask, EndMask=end_mask,
            ShrinkAxisMask=1 << dropped if dropped else 0,
        )
    ]  # fmt: skip


def _draw_split(sheet: Sheet, source: int) -> list[int]:
    choices, shape = sheet.choices, list(sheet.shape(source))
    axis = choices.integer(1, len(shape) - 1)
    size = shape[axis]
    if choices.chance(50):
        parts = choices.one_of([by for by in (1, 2, 3) if size % by == 0][::-1])
        sizes = [size // parts] * parts
        kind, options, fields = "SPLIT", "SplitOptions", {"NumSplits": parts}
        inputs = [sheet.constant(np.array(axis, dtype=np.int32)), source]
    else:
        first = choices.integer(1, size)
        sizes = [first, size - first] if first < size else [size]
        kind, options, fields = "SPLIT_V", "SplitVOptions", {"NumSplits": len(sizes)}
        where = sheet.constant(np.array(axis, dtype=np.int32))
        inputs = [source, sheet.constant(sizes), where]
    results = [
        sheet.activation(
            f"{sheet.name(kind)}:{number}", [*shape[:axis], by, *shape[axis + 1 :]], source
        )
        for number, by in enumerate(sizes)
    ]
    sheet.file.operator(kind, inputs, results, options, **fields)
    return results


def _draw_join(sheet: Sheet, source: int) -> list[int]:
    """Draw the tensor joined with others of its scale, or requantized ones; mostly channels."""
    shape = sheet.shape(source)
    axis = len(shape) - 1 if sheet.choices.chance(80) else sheet.choices.integer(1, len(shape) - 1)
    rest = shape[:axis] + shape[axis + 1 :]
    same = [
        number
        for number, tensor in enumerate(sheet.file.tensors)
        if len(tensor.shape) == len(shape)
        and tensor.shape[:axis] + tensor.shape[axis + 1 :] == rest
        and tensor.dtype == "int8"
        and tensor.values is None
    ]
    inputs = [source]
    for _ in range(sheet.choices.integer(1, 2)):
        other = sheet.choices.one_of(same[::-1])
        mine, given = sheet.file.tensors[source], sheet.file.tensors[other]
        if (mine.scale, mine.zero) != (given.scale, given.zero):
            other = sheet.operator("QUANTIZE", [other], given.shape, like=source)
        inputs.append(other)
    size = sum(sheet.shape(number)[axis] for number in inputs)
    counted = sheet.choices.one_of((axis - len(shape), axis))
    return [
        sheet.operator(
            "CONCATENATION", inputs, (*shape[:axis], size, *shape[axis + 1 :]),
            "ConcatenationOptions", like=source, Axis=counted,
        )
    ]  # fmt: skip


def _draw_resize(sheet: Sheet, source: int) -> list[int]:
    choices = sheet.choices
    _, height, width, channels = sheet.shape(source)
    size = [height * choices.integer(1, 2), width * choices.integer(1, 3)]
    if choices.chance(10):
        size[0] += 1
    aligned = choices.chance(10)
    return [
        sheet.operator(
            "RESIZE_NEAREST_NEIGHBOR", [source, sheet.constant(size)], (1, *size, channels),
            "ResizeNearestNeighborOptions", like=source, AlignCorners=aligned,
            HalfPixelCenters=not aligned and choices.chance(50),
        )
    ]  # fmt: skip


def _draw_blocks(sheet: Sheet, source: int) -> list[int]:
    """Draw channels as pixels, or pixels as channels, in blocks of 2 x 2."""
    _, height, width, channels = sheet.shape(source)
    if channels % 4 == 0:
        shape = (1, height * 2, width * 2, channels // 4)
        return [
            sheet.operator(
                "DEPTH_TO_SPACE", [source], shape, "DepthToSpaceOptions", like=source, BlockSize=2
            )
        ]
    if height % 2 or width % 2:
        return _draw_slice(sheet, source)
    shape = (1, height // 2, width // 2, channels * 4)
    return [
        sheet.operator(
            "SPACE_TO_DEPTH", [source], shape, "SpaceToDepthOptions", like=source, BlockSize=2
        )
    ]


def _draw_vector(sheet: Sheet, source: int) -> list[int]:
    """Draw an image as a vector, perhaps as an image again."""
    shape = sheet.shape(source)
    if len(shape) > 2:
        flat = draw_shape(sheet, source, (1, int(np.prod(shape))))
        return [flat, draw_shape(sheet, flat, shape)] if sheet.choices.chance(20) else [flat]
    return [draw_shape(sheet, source, (1, 1, 1, shape[1]))] if sheet.choices.chance(30) else []
