"""The page people open in the morning."""
