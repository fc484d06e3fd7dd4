"""Atomic writes, memory-mapped files and the safetensors format."""
