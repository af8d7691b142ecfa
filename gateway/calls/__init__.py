"""One call, whatever its legs and its room are: who owns which end, and what is told of it. The processes that have
calls (`gateway/callworker`, `gateway/livekit_jobs`) and LiveKit's rooms (`gateway/livekit`) use it; it knows none of
them."""
