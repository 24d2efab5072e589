"""From a recipe and a data set to checkpoints and curves."""
