"""Reading faces: detect, align, classify, follow; NumPy and ONNX Runtime, never torch."""
