"""ONNX files as nodes and constants.

:mod:`loading` reads and checks the file, :mod:`image_shape` finds the shape of its images,
:mod:`folding` computes shapes and constants, and :mod:`model_file` gives the result as plain nodes.
"""
