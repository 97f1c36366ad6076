"""The product's history as it was before issue 4: one revision, and no activity log."""
