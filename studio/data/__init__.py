"""What the studio reads of a run, and the index by which it finds things there."""
