from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pjsua_bench import Bench, rtp_range

from telephony.pjsua import EndpointSettings


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(EndpointSettings(rtp_ports=rtp_range(), public_address="127.0.0.1"))
    await bench.endpoint.start()
    try:
        yield bench
    finally:
        await bench.close()
