"""History of a tenant database's schema."""
