"""LiveKit SIP as a trunk driver: its trunks and dispatch rules kept as settings say (`objects`, `desired`, `plan`), and
calls placed and transferred through it (`dialing`). `sip_api` is the boundary, `fakes.FakeSipApi` its fake."""
