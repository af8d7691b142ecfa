"""Processes that are ready at once: a warm parent has loaded what they need and forks them.

`parent` is what runs in the warm parent, `client` its owner's side, `forks` what owners of forks have in common,
`channel` what an owner and each fork talk over, `asking` questions over it, `memory` what keeps forks sharing. Nothing
here knows what the processes are for: the gateway's call workers and the agent worker's job processes are both made
this way.
"""
