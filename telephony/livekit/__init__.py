"""LiveKit rooms: the only importer of livekit.rtc. Import the module that is needed: `room` and all that stands on it
loads no SDK; `rtc_connection` loads livekit.rtc, `api` and `access` load livekit.api when they are first used."""
