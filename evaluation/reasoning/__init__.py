"""Right against looks-right: worked solutions with one false step, before judges and policies."""
