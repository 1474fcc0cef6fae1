"""The parts of the studio, each with its routes."""
