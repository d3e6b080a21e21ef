"""Learning from QA codes: candidate segmentations, their ranking, pseudo-labels and rounds."""
