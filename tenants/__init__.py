"""The core: which tenant a request belongs to, and the one way to its database, keys and files.

No Flask, no Click: plain arguments in, plain objects out. Imports run downhill::

    tenancy -> resolver | databases | lifecycle | schema -> registry | keys | hosts | sqlite -> tenant | durable
    -> errors

The words, used here and everywhere above:

tenant           one customer organisation: its own hosts, database, key and files
slug             its short name in hosts and at the command line; may change, its UUID never does
host             a DNS name that leads to one tenant
registry         the platform's own database: tenants, hosts, states, wrapped keys
tenant database  the database of one tenant
state            provisioning -> active <-> suspended -> closed -> purged
operator         a person at the command line of the platform
db               an open SQLAlchemy session on one tenant database; "session" alone means nothing here
operation        a function that changes data
"""
