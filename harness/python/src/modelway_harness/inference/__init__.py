"""The Open Inference Protocol: calls with tensors."""
