"""Files: written in one step, mapped into memory, and the safetensors format."""
