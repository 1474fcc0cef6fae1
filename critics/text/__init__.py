"""What is measured of a text without a model: rules, refusal, tone, judge biases, language, manipulation indicators."""
