"""The paper, whole: its networks, variants, folds, scores, tables and report."""
