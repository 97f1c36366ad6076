"""The revisions of the registry's schema, in order."""
