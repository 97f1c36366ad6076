"""The product's history, and one revision that makes a journal anew and forgets what protected it."""
