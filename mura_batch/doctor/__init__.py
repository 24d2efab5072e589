"""What this machine can do: checks, decoders, and the speed of each runner."""
