"""What can be said of a text without a model: rules, tone, language, signs of manipulation."""
