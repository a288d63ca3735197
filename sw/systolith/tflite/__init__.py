"""Import of TFLite int8 files, bit for bit as TFLite's reference kernels compute them.

:func:`import_tflite` parses a file (:mod:`graph`), reads its operators (:mod:`operators` has the
table) into layers, with the scales of TFLite's kernels (:mod:`scales`, :mod:`doubles`), and
compares every layer with the reference kernels (:mod:`reference`).
"""

from systolith.tflite.errors import KernelDisagreementError, TfliteError
from systolith.tflite.importing import ImportedTflite, import_tflite
from systolith.tflite.operators import KERNELS, kernel_rows
from systolith.tflite.reference import KernelAgreement, run_kernels

__all__ = [
    "KERNELS",
    "ImportedTflite",
    "KernelAgreement",
    "KernelDisagreementError",
    "TfliteError",
    "import_tflite",
    "kernel_rows",
    "run_kernels",
]
