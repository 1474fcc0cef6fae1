"""Everything that talks to a model or a disk."""
