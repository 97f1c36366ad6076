"""gunicorn's settings. Each line closes something that is open, or bounds something that is not."""

from __future__ import annotations

import os
import resource
from typing import Any

workers = int(os.environ.get("EXTRANET_WORKERS", "2"))
worker_class = "gthread"
# Half as many again as may wait for a password slot (LONGEST_QUEUE): a sign-in storm leaves the rest free.
threads = 12
timeout = 30
graceful_timeout = 30
keepalive = 5
max_requests = 50_000
max_requests_jitter = 5_000
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
preload_app = False

# The socket is for its owner and nginx's group; the default is open to everybody on the machine.
umask = 0o117
# gunicorn believes any unix-socket peer: these headers would set SCRIPT_NAME and REMOTE_USER.
forwarder_headers = ""
forwarded_allow_ips = ""
header_map = "refuse"
# Opened by default since 25.1, in a folder two instances would share.
control_socket_disable = True
limit_request_line = 8190
limit_request_fields = 60
# As nginx, which answers what is larger with a page that says what to do about it.
limit_request_field_size = 65536
accesslog = None
errorlog = "-"
# Its warnings quote request lines whole, with tokens and query strings in them.
loglevel = "error"


def post_fork(server: Any, worker: Any) -> None:
    """Use the descriptors that are there: 200 kept databases want 1,200 of them."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Databases and keys that a worker makes are for it alone; only the socket was meant for the group.
    os.umask(0o077)
