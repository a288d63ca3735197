"""Functions of one value: every integer of a type, equal to hls4ml's own C++."""

import subprocess
from itertools import product
from pathlib import Path

import hls4ml
import numpy as np
import pytest
from hls4ml.backends import get_backend

from systolith.hls4ml_backend.fixed_type import FixedType, fixed_type
from systolith.hls4ml_backend.layers.functions import TABLES, FunctionParameters, Lookup

GIVEN = (
    *("ap_fixed<8,3>", "ap_fixed<8,5,AP_RND>", "ap_ufixed<7,2>", "ap_int<6>"),
    *("ap_fixed<6,0>", "ap_fixed<6,8>", "ap_fixed<10,4>"),
)
RESULTS = ("ap_fixed<8,2,AP_RND,AP_SAT>", "ap_fixed<12,3>", "ap_ufixed<5,1,AP_RND_CONV,AP_SAT>")
TABLE_TYPES = (("ap_fixed<18,8>", 1024), ("ap_fixed<16,3,AP_RND,AP_SAT>", 100))
PARAMETERS = (("ap_fixed<9,2>", 0.3), ("ap_ufixed<8,1>", 0.71))
NAMES = (
    *("leaky_relu", "thresholded_relu", "hard_sigmoid", "hard_tanh", "binary_tanh"),
    *("ternary_tanh", *TABLES),
)
HEADERS = Path(hls4ml.__file__).parent / "templates" / "vivado"
PROGRAM = """#include <cstdint>
#include "hls_stream.h"
#include "nnet_utils/nnet_activation_stream.h"
#include <cstdio>

template <class T, class R, class F> void apply(int width, F function) {
    for (int code = 0; code < (1 << width); code++) {
        hls::stream<nnet::array<T, 1>> i;
        hls::stream<nnet::array<R, 1>> o;
        nnet::array<T, 1> given;
        given[0].range(width - 1, 0) = code;
        i.write(given);
        function(i, o);
        printf("%.17g\\n", (double)o.read()[0]);
    }
}
CONFIGS
int main() {
CALLS
}
"""


def read_type(text: str) -> FixedType:
    return fixed_type(get_backend("Vitis").convert_precision_string(text))


def parameters(name: str, number: int) -> tuple[FunctionParameters, str, str]:
    """Numbers of a function: ours, the fields of its C++ configuration, and its argument."""
    (table, size), (kind, value) = TABLE_TYPES[number % 2], PARAMETERS[number // 2 % 2]
    hard = name.startswith("hard")
    shift = read_type("ap_ufixed<2,0>")
    fields = f"typedef {table} table_t; static const unsigned table_size = {size};"
    if hard:
        fields += f"static const {kind} slope; static const ap_ufixed<2,0> shift;"
    has_parameter = hard or name in ("leaky_relu", "thresholded_relu", "elu")
    parameter = read_type(kind)
    ours = FunctionParameters(
        table=read_type(table),
        table_size=size,
        parameter=int(parameter.quantize(np.array([value]))[0]) if has_parameter else 1,
        parameter_fraction=parameter.fraction if has_parameter else 0,
        shift=int(shift.quantize(np.array([0.5]))[0]),
        shift_fraction=shift.fraction,
    )
    argument = f"({kind}){value}, " if has_parameter and not hard else ""
    return ours, fields, argument


@pytest.mark.slow
def test_every_integer_is_equal_to_the_cpp(tmp_path: Path) -> None:
    configs, calls, wanted = [], [], []
    for number, (name, given, result) in enumerate(product(NAMES, GIVEN, RESULTS)):
        ours, fields, argument = parameters(name, number)
        configs.append(f"struct C{number} {{ static const unsigned n_in = 1; {fields} }};")
        kind, value = PARAMETERS[number // 2 % 2]
        if name.startswith("hard"):
            configs.append(f"const {kind} C{number}::slope = {value};")
            configs.append(f"const ap_ufixed<2,0> C{number}::shift = 0.5;")
        types = f"nnet::array<{given}, 1>, " + (f"{kind}, " if argument else "")
        types += f"nnet::array<{result}, 1>, C{number}"
        step = Lookup(name=name, given=read_type(given), result=read_type(result), parameters=ours)
        calls.append(
            f"apply<{given}, {result}>({step.given.width}, [](auto &i, auto &o) "
            f"{{ nnet::{name}<{types}>(i, {argument}o); }});"
        )
        codes = np.arange(1 << step.given.width)
        values, fraction = step.apply(step.given.bound(codes), step.given.fraction)
        wanted += list(np.ldexp(values.astype(float), -fraction))
    source = PROGRAM.replace("CONFIGS", "\n".join(configs)).replace("CALLS", "\n".join(calls))
    (tmp_path / "functions.cpp").write_text(source)
    includes = [f"-I{HEADERS}", f"-I{HEADERS / 'ap_types'}"]
    command = ["g++", "-O0", "-std=c++17", *includes, "functions.cpp", "-o", "functions"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "functions"], check=True, capture_output=True, text=True)
    assert np.array_equal(np.array(printed.stdout.split(), dtype=float), np.array(wanted))
