"""How right and how calibrated a judge is, and weights for its votes: `evaluation judge`."""
