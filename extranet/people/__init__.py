"""What colleagues see of each other."""
