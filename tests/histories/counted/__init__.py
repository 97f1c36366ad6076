"""The product's history, and one revision that takes its time and counts how often it is run."""
