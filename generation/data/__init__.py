"""One reader for prompts, labelled pairs, recorded votes and training data: any file, folder or hub id -> records or reasons."""
