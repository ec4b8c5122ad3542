"""Networks as stock ONNX files, with the scripts that made them."""
