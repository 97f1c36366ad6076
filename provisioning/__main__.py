"""``python -m provisioning`` is the same as ``extranet``."""

from provisioning.cli import main

main()
