"""The product's history, and one revision that some tenants' rows do not allow."""
