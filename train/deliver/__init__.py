"""From checkpoints to a model folder that mura-batch loads."""
