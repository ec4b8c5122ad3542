"""The compiler: an ONNX network in; descriptors, streams and mover lists for the core out."""
