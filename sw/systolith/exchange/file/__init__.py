"""ONNX files as nodes and constants: read, completed, checked, shape arithmetic folded."""
