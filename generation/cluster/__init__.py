"""A run over many machines: its shards are placed by Ray, handed to a storage, and merged to the run over all prompts."""
