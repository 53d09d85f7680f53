"""What a calibration holds: parameters and predictions with intervals, and what a reader is warned of."""
