"""One call, with any kind of legs and room: who owns which end, and what is reported about it. The processes that have
calls (`gateway/callworker`, `gateway/livekit_jobs`) and LiveKit's rooms (`gateway/livekit`) use it; it knows none of
them."""
