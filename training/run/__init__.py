"""One training run: folder, trainer, metrics, page, card."""
