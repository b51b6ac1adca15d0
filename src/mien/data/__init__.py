"""Corpora: one file each, giving a `Corpus` of `Sample`s."""
