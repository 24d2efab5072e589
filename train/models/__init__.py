"""Networks: DenseNet169 in training and as a scoring graph, half precision, checkpoints."""
