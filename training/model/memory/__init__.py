"""What training takes of memory: estimated before it starts, and measured."""
