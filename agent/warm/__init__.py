"""Processes that start instantly: forked by a warm parent that has loaded everything they need.

`parent` runs in the warm parent, `client` is its owner's side, `forks` is shared by owners of forks, `channel` connects
an owner and each fork, `asking` sends questions over it, `memory` keeps forks' memory shared. Nothing here knows what
the processes are for: both the gateway's call workers and the agent worker's job processes are started this way.
"""
