"""Later histories of a tenant database than the product has: what a fleet is migrated to in tests."""
