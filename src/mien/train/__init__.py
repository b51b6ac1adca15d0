"""Learning: the one loop and the functions handed to it. Needs torch."""
