"""Writing of networks as ONNX files: scales, then one node after the other."""
