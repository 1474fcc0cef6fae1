"""Model files, tokenizers, chat encoding, and which engine plays which role."""
