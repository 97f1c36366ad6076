"""The pages behind links: importing this declares them all."""

from extranet.recovery import addresses, passwords, strangers
from extranet.recovery.blueprint import blueprint

__all__ = ["addresses", "blueprint", "passwords", "strangers"]
