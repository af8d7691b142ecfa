from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pjsua_bench import Bench, rtp_range

from telephony.pjsua import EndpointSettings


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench(EndpointSettings(rtp_ports=rtp_range(), public_address="127.0.0.1")) as bench:
        yield bench
