"""The search for failures: an exploration of the futures that a system may have."""

from branchpoint.search.exploration import Exploration
from branchpoint.search.exploring import explore

__all__ = ["Exploration", "explore"]
