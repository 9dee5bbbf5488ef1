"""edgekd's own runner for places without Python: C against onnxruntime's C API. ``make runner`` builds it."""
