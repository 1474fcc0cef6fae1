"""What the editor works with: the text, what it changes, and a run that it starts."""
