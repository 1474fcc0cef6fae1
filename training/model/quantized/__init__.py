"""Weights of 4 or 8 bits that stay as they are while a low-rank adapter is trained on them (QLoRA)."""
