"""From files to encoded batches."""
