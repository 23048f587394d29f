"""Post-training quantization of a model folder's encoder with NNCF, on the user's own images. It needs no torch."""
