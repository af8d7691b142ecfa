"""Settings of one PJSIP endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.errors import TelephonyMisuse

__all__ = ["CODECS", "SRTP_SUITES", "EndpointSettings", "JitterBuffer"]

CODECS = {"PCMU": "PCMU/8000/1", "PCMA": "PCMA/8000/1", "G722": "G722/16000/1"}  # ours -> PJSIP's codec id

# In the order of our offers (RFC 4568, RFC 6188). The first is what everybody has; one with a short tag comes last.
SRTP_SUITES = (
    "AES_CM_128_HMAC_SHA1_80",
    "AES_256_CM_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AES_256_CM_HMAC_SHA1_32",
)


@dataclass(frozen=True, slots=True)
class JitterBuffer:
    """PJSIP's adaptive jitter buffer. All in milliseconds.

    With `initial_ms` 0 nothing is held back in advance: on a clean line a frame is played at the next tick. A tick
    that finds the buffer empty plays silence and shifts the rest, so one late packet deepens the buffer to what the
    line needs; when bursts get smaller, frames are dropped one by one until it is shallow again. A positive
    `initial_ms` waits for that much audio at the start and after each gap, growing up to `max_prefetch_ms` with jitter:
    packets that overtook each other are then put back in order.
    """

    initial_ms: int = 0
    max_prefetch_ms: int = 200
    capacity_ms: int = 360  # a burst beyond this is discarded

    def __post_init__(self) -> None:
        if not 0 <= self.initial_ms <= self.max_prefetch_ms < self.capacity_ms:
            raise TelephonyMisuse("a jitter buffer needs 0 <= initial_ms <= max_prefetch_ms < capacity_ms")


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """One endpoint, one process. SIP stays on loopback (the edge speaks to the world); RTP does not."""

    rtp_ports: tuple[int, int]  # first and last UDP port; a call takes an even RTP port and the next port for RTCP
    public_address: str = ""  # goes into the SDP as the media address; empty: the address PJSIP finds
    rtp_bind: str = ""  # local address of the RTP sockets; empty: all interfaces
    sip_host: str = "127.0.0.1"
    sip_port: int = 0  # 0: any free one
    codecs: tuple[str, ...] = ("PCMU", "PCMA", "G722")  # in order of preference in our offers
    jitter_buffer: JitterBuffer = JitterBuffer()
    srtp: bool = True  # SRTP with SDES if both sides can; what a trunk wants of it is the edge's business
    log_level: int = 2  # PJSIP's: 1 errors, 2 warnings, 3 information, 4 and 5 debug
    switch_interval_s: float | None = 0.001  # sys.setswitchinterval: limits how long the loop can delay a frame
    call_limit: int | None = None  # at most PJSIP's compile-time limit; None: that limit

    def __post_init__(self) -> None:
        low, high = self.rtp_ports
        if not 1024 <= low < high <= 65535:
            raise TelephonyMisuse(f"invalid rtp_ports {low}-{high}: not a range within 1024-65535")
        if self.first_rtp + 1 > high:
            raise TelephonyMisuse(f"invalid rtp_ports {low}-{high}: no even port followed by another port")
        unknown = [codec for codec in self.codecs if codec not in CODECS]
        if unknown or not self.codecs:
            raise TelephonyMisuse(f"codecs must be some of {', '.join(CODECS)}; got {', '.join(unknown) or 'none'}")
        if self.call_limit is not None and self.call_limit < 1:
            raise TelephonyMisuse("call_limit must be at least 1")

    @property
    def first_rtp(self) -> int:
        """The first even port of the range (RFC 3550 section 11: RTP on even ports, RTCP on the next)."""
        low = self.rtp_ports[0]
        return low + low % 2

    @property
    def rtp_pairs(self) -> int:
        """How many calls the range has ports for."""
        return (self.rtp_ports[1] - self.first_rtp + 1) // 2
