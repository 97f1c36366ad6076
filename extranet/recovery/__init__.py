"""What is done by a link in a mail: a new password, a new address, and saying that something was not you.

The links themselves and what they do are in ``accounts``: this is their pages.
"""
