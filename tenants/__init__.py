"""The core: which tenant a request belongs to, and the one way to its database, keys and files.

No Flask, no Click: plain arguments in, plain objects out. Imports run downhill::

    fleet -> rotation -> backups -> lifecycle -> stores -> tenancy -> resolver | databases -> servers | generation
    -> registry | sqlite | postgresql -> keys | schema | hosts -> tenant | durable -> errors

The words, used here and everywhere above:

tenant           one customer organisation: its own hosts, database, key and files
slug             its short name in hosts and at the command line; may change, its UUID never does
host             a DNS name that leads to one tenant
registry         the platform's own database: tenants, hosts, states, wrapped keys
tenant database  the database of one tenant
server           a PostgreSQL server that holds tenant databases; "embedded" stands for SQLite in the home folder
store            what operators can do to the tenant databases on one server: create, change, copy, destroy
fleet            all tenants together
run, step        one command's work on the whole fleet, and on one tenant in it; each is a row in the registry
state            provisioning -> active <-> suspended, either -> closed -> purged; a closed one may be reopened
operator         a person at the command line of the platform
db               an open SQLAlchemy session on one tenant database; "session" alone means nothing here
outbox           the mails of one tenant that are to be sent, in its database; the registry knows who has any
operation        a function that changes data
"""
