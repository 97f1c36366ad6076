"""A tenant's life, step by step. Each step is safe to repeat and a crash between two leaves nothing that is served.

creating.py  make a tenant; the registry row is activated last
states.py    suspend, resume, close, reopen
naming.py    rename, custom hosts
cloning.py   make a tenant from another one, or from what a backup holds
moving.py    take a tenant's database to another server
purging.py   destroy a closed tenant; the registry row is removed last
left.py      what is left of a tenant, anywhere

What takes several steps notes how far it came (``tenants.unfinished``): after a kill the same command goes on.
"""

from tenants.lifecycle.cloning import ClonePlan, Original, clone_tenant, copy_as_new, plan_clone
from tenants.lifecycle.creating import NewTenant, create_tenant, unfinished
from tenants.lifecycle.left import what_is_left
from tenants.lifecycle.moving import MovePlan, move_tenant, plan_move
from tenants.lifecycle.naming import add_host, parse_custom_host, refuse_rename, rename_tenant
from tenants.lifecycle.purging import GRACE, PurgePlan, plan_purge, purge_tenant, refuse_purge
from tenants.lifecycle.states import close_tenant, refuse_unless, reopen_tenant, resume_tenant, suspend_tenant
from tenants.lifecycle.telling import Tell

__all__ = [
    "GRACE",
    "ClonePlan",
    "MovePlan",
    "NewTenant",
    "Original",
    "PurgePlan",
    "Tell",
    "add_host",
    "clone_tenant",
    "close_tenant",
    "copy_as_new",
    "create_tenant",
    "move_tenant",
    "parse_custom_host",
    "plan_clone",
    "plan_move",
    "plan_purge",
    "purge_tenant",
    "refuse_purge",
    "refuse_rename",
    "refuse_unless",
    "rename_tenant",
    "reopen_tenant",
    "resume_tenant",
    "suspend_tenant",
    "unfinished",
    "what_is_left",
]
