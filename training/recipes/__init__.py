"""What sft, reward and dpo learn from: losses, targets, reference."""
