"""Mails to the people of a tenant: written into its database with their cause, sent by the worker. No Flask."""
