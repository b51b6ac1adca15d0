"""Judging: votes to labels, counts to scores, scores to tables."""
