"""What a customer's employees use. May import tenants, never provisioning.

app.py            create_app: a table of contents, the only place that wires
request/          what happens to every request before a view, one file a step
models/           the tables of a tenant database, one file a table; no Flask
security_log/     account events with the client's address; no Flask
<feature>/        views (parse, call one operation, answer), operations (all writes, no Flask), forms
"""
