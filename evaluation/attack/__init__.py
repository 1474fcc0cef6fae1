"""How easily a judge is manipulated by the text that it judges: `evaluation attack`."""
