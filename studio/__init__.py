"""The local web app: reads a run, shows what an edit changes, and takes what people say of pairs."""
