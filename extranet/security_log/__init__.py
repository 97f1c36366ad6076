"""The security log of a tenant: every sign-in and account event, with where it came from. No Flask."""
