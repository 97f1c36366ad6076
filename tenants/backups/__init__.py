"""Backups of one tenant: made while it is in use, sealed with its key, verified by restoring them.

archive.py    the container: a header and a stream of sealed chunks
entries.py    what is in the stream, one entry after the other
contents.py   which entries there are: the database's dump, the files, the manifest
manifest.py   what must be found again: rows by table, heads of journals, digests
making.py     make one, at one moment of the database and the files
verifying.py  restore it where it harms nobody, and check it
staging.py    make it ready beside what the tenant has
restoring.py  put it in place of what the tenant has
renewing.py   make a new tenant of it
rescuing.py   put it on another server, when the tenant's own is lost
placing.py    put files back
catalogue.py  the registry's list

A backup opens with the tenant's key, which is in the registry and never in the backup: destroying the key destroys all
backups, wherever they are. The registry and the master key are therefore backed up apart, and not kept for long.
"""
