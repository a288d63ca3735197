from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from systolith.network import ActType, NetworkError, Overflow, Requantize, Rounding, requantize
from tests.support.oracle import requantize_one
from tests.support.strategies import act_types, requantizes

INT8 = ActType(bits=8, signed=True)


def spec(multiplier: int = 1, shift: int = 0, **fields: Any) -> Requantize:
    return Requantize(multiplier=np.array([multiplier]), shift=np.array([shift]), **fields)


@pytest.mark.parametrize(
    ("bits", "signed", "low", "high"),
    [(1, False, 0, 1), (2, True, -2, 1), (8, True, -128, 127), (16, False, 0, 65535)],
)
def test_range_of_type(bits: int, signed: bool, low: int, high: int) -> None:
    act = ActType(bits=bits, signed=signed)
    assert (act.low, act.high) == (low, high)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 1, "signed": True}, r"^signed activations need 2\.\.16 bits, got 1$"),
        ({"bits": 17, "signed": False}, r"^unsigned activations need 1\.\.16 bits, got 17$"),
        (
            {"bits": 4, "signed": True, "zero_point": 8},
            r"^zero_point of signed 4-bit activations must lie in -8\.\.7, got 8$",
        ),
        ({"bits": 8.0, "signed": True}, r"^bits must be an integer, got 8\.0$"),
        ({"bits": True, "signed": True}, r"^bits must be an integer, got True$"),
        ({"bits": 10**5000, "signed": True}, r"^bits must be an integer, got an integer of 166\d+"),
        ({"bits": 8, "signed": 1}, r"^signed must be True or False, got 1$"),
        ({"bits": 8, "signed": True, "zero_point": None}, r"^zero_point must be an integer, got N"),
    ],
)
def test_rejects_wrong_type(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        ActType(**fields)


def test_reports_all_wrong_fields_of_a_type() -> None:
    with pytest.raises(NetworkError) as error:
        ActType(bits="8", signed="yes", zero_point=[0])  # type: ignore[arg-type]
    assert len(error.value.problems) == 3


def test_numpy_scalars_become_plain() -> None:
    act = ActType(bits=np.int64(8), signed=np.bool_(True), zero_point=np.int8(1))  # type: ignore[arg-type]
    assert act == ActType(bits=8, signed=True, zero_point=1)
    assert [type(value) for value in (act.bits, act.signed, act.zero_point)] == [int, bool, int]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"multiplier": [-1]},
            r"^requantize multiplier must lie in 0\.\.2147483647, got -1\.\.-1",
        ),
        (
            {"multiplier": [1 << 31]},
            r"^requantize multiplier must lie in 0\.\.2147483647, got 2147483648",
        ),
        ({"multiplier": [1.0]}, r"^requantize multiplier must be integers, got float64$"),
        ({"multiplier": [True]}, r"^requantize multiplier must be integers, got bool$"),
        (
            {"multiplier": [[1], [1, 2]]},
            r"^requantize multiplier must be an array of integers, got",
        ),
        ({"multiplier": [2**63]}, r"^requantize multiplier must fit 64 bits signed, got 9223"),
        ({"shift": [63]}, r"^requantize shift must lie in 0\.\.62, got 63\.\.63$"),
        ({"shift": [-1]}, r"^requantize shift must lie in 0\.\.62, got -1\.\.-1$"),
        ({"shift": [[0]]}, r"^requantize shift must have shape \(channels,\) or \(1,\), got \(1, "),
        ({"shift": 0}, r"^requantize shift must have shape \(channels,\) or \(1,\), got \(\)$"),
        ({"offset": [1 << 61]}, r"^requantize offset must lie in -2305843009213693952\.\.2305843"),
        ({"offset": [-(1 << 61) - 1]}, r"^requantize offset must lie in -230584300921369395"),
        ({"offset": [0.5]}, r"^requantize offset must be integers, got float64$"),
        ({"offset": 0}, r"^requantize offset must have shape \(channels,\) or \(1,\), got \(\)$"),
        (
            {"negative": [1 << 31]},
            r"^requantize negative must lie in -2147483647\.\.2147483647, got",
        ),
        (
            {"negative": [1], "offset": [1]},
            r"^requantize takes no offset beside negative, got both$",
        ),
        ({"shift": np.array([], dtype=int)}, r"^requantize shift must have shape .* got \(0,\)$"),
        ({"rounding": "half_up"}, r"^rounding must be Rounding, got 'half_up'$"),
        ({"overflow": None}, r"^overflow must be Overflow, got None$"),
        ({"clamp": (3, 2)}, r"^requantize clamp must be \(low, high\), got \(3, 2\)$"),
        ({"clamp": (0.5, 2)}, r"^clamp must be 2 integers, got \(0\.5, 2\)$"),
        ({"clamp": 3}, r"^clamp must be 2 integers, got 3$"),
        ({"clamp": "07"}, r"^clamp must be 2 integers, got '07'$"),
        ({"clamp": (1, 2, 3)}, r"^clamp must be 2 integers, got \(1, 2, 3\)$"),
    ],
)
def test_rejects_wrong_requantize(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Requantize(**{"multiplier": [1], "shift": [0], **fields})


def test_reports_all_wrong_fields_of_requantize() -> None:
    with pytest.raises(NetworkError) as error:
        Requantize(multiplier=[1 << 31], shift=[99], clamp=(2, 1), rounding=1, overflow=2)  # type: ignore[arg-type]
    assert len(error.value.problems) == 5


def test_arrays_are_copied_and_read_only() -> None:
    given = np.array([1, 2], dtype=np.uint8)
    kept = Requantize(multiplier=given, shift=given).multiplier  # type: ignore[arg-type]
    given[0] = 9
    assert kept.tolist() == [1, 2] and kept.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 3


@pytest.mark.parametrize(
    ("made", "channels", "message"),
    [
        ({"multiplier": [1, 1]}, 3, r"^requantize multiplier needs 1 or 3 values, got 2$"),
        ({"shift": [1, 1]}, 1, r"^requantize shift needs 1 value, got 2$"),
        ({"offset": [1, 1]}, 3, r"^requantize offset needs 1 or 3 values, got 2$"),
        ({"negative": [1, 1]}, 3, r"^requantize negative needs 1 or 3 values, got 2$"),
        ({"clamp": (0, 128)}, 1, r"^requantize clamp must lie within -128\.\.127, got \(0, 128\)$"),
        ({"clamp": (-129, 0)}, 1, r"^requantize clamp must lie within -128\.\.127, got \(-129, 0"),
    ],
)
def test_requantize_says_what_does_not_fit(
    made: dict[str, Any], channels: int, message: str
) -> None:
    fit = Requantize(**{"multiplier": [1], "shift": [0], **made})
    with pytest.raises(NetworkError, match=message):
        raise NetworkError(list(fit.problems(channels, INT8)))


def test_power_of_two_needs_every_multiplier_to_be_one() -> None:
    shift = np.array([3])
    assert Requantize(multiplier=np.array([1, 1]), shift=shift).power_of_two
    assert not Requantize(multiplier=np.array([1, 2]), shift=shift).power_of_two


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (Rounding.HALF_UP, [-2, -1, -1, 0, 0, 0, 1, 1, 2]),
        (Rounding.FLOOR, [-2, -2, -1, -1, -1, 0, 0, 0, 1]),
        (Rounding.HALF_EVEN, [-2, -2, -1, 0, 0, 0, 0, 1, 2]),
        (Rounding.TFLITE, [-2, -1, -1, 0, 0, 0, 1, 1, 2]),
    ],
)
def test_ties_go_up_or_to_even_or_everything_goes_down(
    rounding: Rounding, expected: list[int]
) -> None:
    acc = np.array([[-7, -6, -4, -2, -1, 0, 2, 3, 6]])
    scale = Requantize(multiplier=np.array([1]), shift=np.array([2]), rounding=rounding)
    assert requantize(acc, scale, INT8).tolist() == [expected]


def _tflite_reference(acc: int, multiplier: int, shift: int) -> int:
    """SaturatingRoundingDoublingHighMul and RoundingDivideByPOT, as gemmlowp defines them.

    The quotient of the first is truncated towards zero, as C++ does.
    """
    product = acc * multiplier
    nudge = 1 << 30 if product >= 0 else 1 - (1 << 30)
    high = abs(product + nudge) // (1 << 31) * (1 if product + nudge >= 0 else -1)
    exponent = shift - 31
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if high < 0 else 0)
    return (high >> exponent) + (1 if high & mask > threshold else 0)


@given(
    accs=st.lists(st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-9, 9), min_size=1),
    multiplier=st.integers(1 << 30, (1 << 31) - 1) | st.sampled_from([1 << 30, 3 << 29]),
    shift=st.integers(31, 62),
)
def test_tflite_rounding_is_that_of_gemmlowp(accs: list[int], multiplier: int, shift: int) -> None:
    act = ActType(bits=16, signed=True)
    fit = spec(multiplier, shift, rounding=Rounding.TFLITE)
    ties = [half << shift - 31 for half in range(-4, 5)]
    row = [acc for acc in accs + ties if abs(acc) <= 1 << 31]
    expected = [
        sorted((act.low, _tflite_reference(acc, multiplier, shift), act.high))[1] for acc in row
    ]
    assert requantize(np.array([row]).T, fit, act).T.tolist() == [expected]
    assert [requantize_one(acc, fit, 0, act) for acc in row] == expected


def test_tflite_rounds_ties_of_the_second_shift_away_from_zero() -> None:
    # Half of 2**31 units: the first shift gives -3, -2, -1, 0, 1, 2, 3.
    acc = np.array([[-6, -4, -2, 0, 2, 4, 6]])
    fit = spec(1 << 30, 32, rounding=Rounding.TFLITE)
    assert requantize(acc, fit, INT8).tolist() == [[-2, -1, -1, 0, 1, 1, 2]]
    assert requantize(acc, spec(1 << 30, 32), INT8).tolist() == [[-1, -1, 0, 0, 1, 1, 2]]


@given(
    accs=st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=1),
    multiplier=st.integers(0, (1 << 31) - 1),
    shift=st.integers(0, 62),
    rounding=st.sampled_from(Rounding),
)
def test_wide_multipliers_and_shifts_are_exact(
    accs: list[int], multiplier: int, shift: int, rounding: Rounding
) -> None:
    act, fit = ActType(bits=16, signed=True), spec(multiplier, shift, rounding=rounding)
    expected = [requantize_one(acc, fit, 0, act) for acc in accs]
    assert requantize(np.array([accs]).T, fit, act).T.tolist() == [expected]


@pytest.mark.parametrize(
    ("overflow", "expected"),
    [(Overflow.SATURATE, [-128, -128, 127, 127]), (Overflow.WRAP, [-128, 127, 127, -128])],
)
def test_saturates_or_wraps_on_both_sides(overflow: Overflow, expected: list[int]) -> None:
    acc = np.array([[-128, -129, 127, 128]])
    assert requantize(acc, spec(overflow=overflow), INT8).tolist() == [expected]


def test_an_offset_is_a_share_of_an_output_unit() -> None:
    acc = np.array([[-1, -1, 0, 0, 1, 1]])
    between = spec(4, 3, offset=[-1, 1] * 3)
    assert requantize(acc, between, INT8).tolist() == [[-1, 0, 0, 0, 0, 1]]


def test_negative_accumulators_have_multipliers_of_their_own() -> None:
    acc = np.array([[-8, -8, -8], [8, 8, 8], [0, 0, 0]])
    fit = spec(4, 2, negative=[1, 0, -2])
    output = ActType(bits=8, signed=True, zero_point=5)
    assert requantize(acc, fit, output).tolist() == [[3, 5, 9], [13, 13, 13], [5, 5, 5]]
    assert not spec(1, 2, negative=[1]).power_of_two


def test_ties_are_those_of_the_sum_with_the_offset() -> None:
    acc = np.array([[0, 1, 2, 3]])
    for offset, up, even in ((4, [1, 1, 1, 1], [0, 1, 1, 1]), (12, [2, 2, 2, 2], [2, 2, 2, 2])):
        for rounding, wanted in ((Rounding.HALF_UP, up), (Rounding.HALF_EVEN, even)):
            fit = spec(1, 3, offset=[offset], rounding=rounding)
            assert requantize(acc, fit, INT8).tolist() == [wanted]


def test_the_largest_sum_fits_64_bits() -> None:
    largest = np.array([[-(1 << 46), (1 << 46) - 1]])
    for offset in (-(1 << 61), (1 << 61) - 1):
        fit = spec(65535, 47, offset=[offset])
        wanted = [requantize_one(int(acc), fit, 0, INT8) for acc in largest[0]]
        assert requantize(largest.reshape(2, 1), fit, INT8).ravel().tolist() == wanted


def test_clamp_comes_after_zero_point_and_overflow() -> None:
    act = ActType(bits=8, signed=True, zero_point=-100)
    acc = np.array([[-50, 0, 10, 400]])
    assert requantize(acc, spec(clamp=(-100, 20)), act).tolist() == [[-100, -100, -90, 20]]
    wrapped = spec(clamp=(-100, 20), overflow=Overflow.WRAP)
    assert requantize(acc, wrapped, act).tolist() == [[20, -100, -90, 20]]


@given(data=st.data(), output=act_types(), channels=st.integers(1, 3))
def test_requantize_equals_rational_arithmetic(
    data: st.DataObject, output: ActType, channels: int
) -> None:
    fit = data.draw(requantizes(channels, output))
    limit = 2**46
    extremes = [-limit, limit - 1, -1, 0, 1]
    drawn = data.draw(st.lists(st.integers(-limit, limit - 1) | st.integers(-999, 999), max_size=6))
    near = [
        (base << int(fit.shift[0])) + offset
        for base in (output.low, output.high, 0, 1)
        for offset in (-1, 0, 1)
    ]
    ties = [odd << int(shift) - 1 for shift in fit.shift if shift for odd in (-3, -1, 1, 3)]
    ties = [tie for tie in ties if -limit <= tie < limit]
    row = extremes + drawn + ties + [value for value in near if -limit <= value < limit]
    acc = np.array([[row] * channels])
    expected = [[[requantize_one(v, fit, c, output) for v in row] for c in range(channels)]]
    assert requantize(acc, fit, output).tolist() == expected


@given(
    output=act_types(),
    shift=st.integers(1, 40),
    halves=st.lists(st.integers(-32, 31), min_size=1),
    multiplier=st.sampled_from([1, 3, 5, 63]),
)
def test_ties_are_even_before_the_zero_point_is_added(
    output: ActType, shift: int, halves: list[int], multiplier: int
) -> None:
    fit = Requantize(
        multiplier=np.array([multiplier]), shift=np.array([shift]), rounding=Rounding.HALF_EVEN
    )
    acc = np.array([[half << shift - 1 for half in halves]]).T
    expected = [round(Fraction(half * multiplier, 2)) + output.zero_point for half in halves]
    assert requantize(acc, fit, output).T.tolist() == [
        [sorted((output.low, value, output.high))[1] for value in expected]
    ]


@given(st.lists(st.integers(-(1 << 46), (1 << 46) - 1), min_size=1))
def test_nothing_is_a_tie_where_nothing_is_dropped(values: list[int]) -> None:
    act = ActType(bits=16, signed=True)
    acc = np.array([values]).T
    found = [
        requantize(acc, Requantize(multiplier=[1], shift=[0], rounding=rounding), act).tolist()  # type: ignore[arg-type]
        for rounding in Rounding
    ]
    assert found == [np.clip(acc, act.low, act.high).tolist()] * len(Rounding)


def test_requantize_takes_any_integer_dtype_and_no_other() -> None:
    acc = np.array([[2**31 - 1]], dtype=np.int32)
    assert requantize(acc, spec(65535, 40), INT8).tolist() == [[127]]  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match=r"^accumulators must be integers \(N, channels, \.\.\."):
        requantize(acc.astype(float), spec(), INT8)
    with pytest.raises(NetworkError, match=r"^requantize multiplier needs 1 value, got 2$"):
        requantize(acc, Requantize(multiplier=np.ones(2, int), shift=np.zeros(1, int)), INT8)  # type: ignore[arg-type]
