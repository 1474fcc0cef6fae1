"""The vocabulary: what a principle is, what every record is."""
