"""A constitution as its text: YAML with the line of each value, and edits that leave the rest as it is."""
