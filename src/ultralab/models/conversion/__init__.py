"""Making a model from another: quantization and conversion, each a recorded step that is judged by tokens."""
