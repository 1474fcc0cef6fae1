"""PPO with a KL penalty, with a critic or a group baseline."""
