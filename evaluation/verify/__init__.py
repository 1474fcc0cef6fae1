"""What is wrong with anybody's preference data: `evaluation verify DATASET`."""
