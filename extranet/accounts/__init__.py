"""Accounts: signing in and out, invitations, passwords, logins and known browsers."""
