"""Networks as ONNX files, with the scripts that made them."""
