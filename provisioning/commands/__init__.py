"""One noun a file, one verb a function."""
