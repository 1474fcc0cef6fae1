"""What a run writes: folder, parquet, manifest, card, page."""
