"""Processes that start instantly: forked by a warm parent that has loaded everything they need.

`parent` is what runs in the warm parent, `client` its owner's side, `forks` what owners of forks have in common,
`channel` what an owner and each fork talk over, `asking` questions over it, `memory` what keeps forks sharing. Nothing
here knows what the processes are for: the gateway's call workers and the agent worker's job processes are both made
this way.
"""
