"""One picture: find its faces, cut them out, read the expression of each."""
