"""Pure functions between records and the words a judge reads and writes; no model is called here."""
