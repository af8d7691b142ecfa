"""Decides, in the kernel, which of several sockets on one UDP port gets a packet, by its source and payload type.

A classic BPF program for SO_ATTACH_REUSEPORT_CBPF (Linux 4.5 and newer, no privilege needed): it returns the index of
a socket in the port's group, which is the order in which they were bound. Offsets from zero are those of the UDP
payload, offsets from `_NETWORK` those of the IP header (socket(7), the kernel's net/core/filter.c). Pure except
`attach`.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Collection
from ipaddress import IPv4Address

__all__ = ["OURS", "PJSIP", "STRANGERS", "Source", "attach", "rtcp_program", "rtp_program"]

Source = tuple[str, int]  # IPv4 address, port

# Indexes in the group.
PJSIP = 0
OURS = 1  # from the peer, but not for PJSIP
STRANGERS = 2

_SO_ATTACH_REUSEPORT_CBPF = 51
_NETWORK = 0xFFF00000  # SKF_NET_OFF
_IP_WITHOUT_OPTIONS = 0x45
_SOURCE_ADDRESS, _SOURCE_PORT = _NETWORK + 12, _NETWORK + 20
_LOAD_BYTE, _LOAD_HALF, _LOAD_WORD, _LOAD_LENGTH = 0x30, 0x28, 0x20, 0x80  # BPF_LD | size | BPF_ABS, BPF_LEN
_EQUAL, _AT_LEAST, _AND, _RETURN = 0x15, 0x35, 0x54, 0x06
_RTP_HEADER = 12


def rtp_program(sources: Collection[Source], payload_types: Collection[int]) -> bytes:
    """RTP with these sources and payload types goes to PJSIP, other packets from them to us, all else to STRANGERS."""
    chosen = [_step(_LOAD_LENGTH), _step(_AT_LEAST, _RTP_HEADER, 0, len(payload_types) + 2)]  # else: OURS
    chosen += [_step(_LOAD_BYTE, 1), _step(_AND, 0x7F)]  # without the marker bit
    for place, payload_type in enumerate(payload_types):
        chosen.append(_step(_EQUAL, payload_type, len(payload_types) - place, 0))
    chosen += [_step(_RETURN, OURS), _step(_RETURN, PJSIP)]
    return _by_source(sources, chosen)


def rtcp_program(sources: Collection[Source], *, to_pjsip: bool) -> bytes:
    """Packets from these sources go to PJSIP or to us, all others to STRANGERS."""
    return _by_source(sources, [_step(_RETURN, PJSIP if to_pjsip else OURS)])


def attach(sock: socket.socket, program: bytes) -> None:
    """Replace the program of the group that `sock` is in. Raises OSError if the kernel refuses it."""
    code = ctypes.create_string_buffer(program)
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    )


def _by_source(sources: Collection[Source], chosen: list[bytes]) -> bytes:
    """For each source: when address and port fit, jump to `chosen`."""
    stranger = _step(_RETURN, STRANGERS)
    tests: list[bytes] = []
    for place, (address, port) in enumerate(sources):
        left = 4 * (len(sources) - place - 1)  # instructions in the tests that follow
        tests += [
            _step(_LOAD_WORD, _SOURCE_ADDRESS), _step(_EQUAL, int(IPv4Address(address)), 0, 2),
            _step(_LOAD_HALF, _SOURCE_PORT), _step(_EQUAL, port, left + 1, 0),
        ]  # fmt: skip
    head = [_step(_LOAD_BYTE, _NETWORK), _step(_EQUAL, _IP_WITHOUT_OPTIONS, 1, 0), stranger]
    return b"".join([*head, *tests, stranger, *chosen])


def _step(code: int, value: int = 0, if_true: int = 0, if_false: int = 0) -> bytes:
    """struct sock_filter. Jumps are relative to the next instruction."""
    return struct.pack("HBBI", code, if_true, if_false, value & 0xFFFFFFFF)
