"""Which pairs of a run a person should look at, and what their answers say of the panel: `solon review`."""
