"""What is done to all tenants at once: seen without opening a database, changed in waves, journaled a row a tenant.

census.py     which tenant is where and at which version, and what does not fit together
plan.py       what a run is going to do, decided once
journal.py    runs and their steps, in the registry
migration.py  one tenant brought to another schema
crew.py       the processes that do it
run.py        canary, waves, threshold; taken up again after a crash

A run holds the fleet's lock, and each process the lock of the tenant it is at. Whatever is killed, the tenant's one
transaction is rolled back and its row says where to go on.
"""
