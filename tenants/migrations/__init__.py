"""History of the registry's schema."""
