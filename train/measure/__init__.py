"""What a model is worth: figures, calibration, ablation, speed."""
