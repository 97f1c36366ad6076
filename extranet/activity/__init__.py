"""The activity log of a tenant: every change by anybody, with before and after and without address. No Flask."""
