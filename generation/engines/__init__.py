"""Everything that answers a request: vLLM, transformers, endpoints, replay, and wrappers of the same shape."""
