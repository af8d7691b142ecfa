"""LiveKit rooms: the only importer of livekit.rtc. Import just the module you need: `room` and everything built on it
load no SDK; `rtc_connection` loads livekit.rtc, `api` and `access` load livekit.api when they are first used."""
