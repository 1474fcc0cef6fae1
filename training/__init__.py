"""Models trained on the pairs: supervised, reward, DPO and PPO."""
