"""Batches for TensorFlow, Keras and PyTorch."""
