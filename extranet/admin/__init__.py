"""Administration: people, invitations, imports, security policy, look and usage, for administrators alone."""
