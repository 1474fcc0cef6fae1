"""How wrong labels and win rates may be, from a few human labels: thresholds with a stated error, corrected rates. Pure."""
