"""The tables this history leads to."""

from extranet.models import Base

metadata = Base.metadata
