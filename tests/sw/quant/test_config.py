import re

import pytest

from systolith.quant import LayerBits, QuantConfig, UnsupportedModelError


def test_reports_all_widths_out_of_range() -> None:
    message = (
        "5 problems:\n  - weight_bits must lie in 1..8, got 0\n  - input_bits must lie in 2..8, "
        "got 9\n  - output_bits must lie in 2..16, got 17"
        "\n  - weight_bits of layer 'fc' must lie in 1..8, got 9"
        "\n  - act_bits of layer 'fc' must lie in 1..8, got 0"
    )
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(message)}$"):
        QuantConfig(
            weight_bits=0,
            input_bits=9,
            output_bits=17,
            layers={"fc": LayerBits(weight_bits=9, act_bits=0)},
        )
