"""What the tensors of a float graph stand for as integers, and the arithmetic of their scales.

:mod:`value` has one class for each kind of value. :mod:`quantizer` and :mod:`open_types` say which
integers represent real values; :mod:`scaling`, :mod:`thresholds` and :mod:`requantizers` find
integer arithmetic that gives the same integers. :mod:`layouts` reorders and pads values.
"""
