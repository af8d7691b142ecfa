"""Sends and receives datagrams without releasing the GIL (Linux).

Python's sockets release the lock in each call and then queue for it again, which costs up to a switch interval when
the asyncio loop is busy: too much with twenty phones. These calls do not block and take microseconds, so they are made
with the lock held (`ctypes.PyDLL`). They also return the kernel's arrival time.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

__all__ = ["DatagramReceiver", "enable_timestamps", "send_datagram", "socket_address"]

_libc = ctypes.PyDLL(None, use_errno=True)
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_DATAGRAM_BYTES = 2048
_CONTROL = struct.Struct("@Niiqq")  # struct cmsghdr and struct timespec
_CONTROL_BYTES = 64


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MessageHeader(ctypes.Structure):
    """struct msghdr of recvmsg(2)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_IoVec)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


_libc.recvmsg.argtypes = (ctypes.c_int, ctypes.POINTER(_MessageHeader), ctypes.c_int)
_libc.recvmsg.restype = ctypes.c_ssize_t
_libc.sendto.argtypes = (
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_uint32,
)
_libc.sendto.restype = ctypes.c_ssize_t


def enable_timestamps(sock: socket.socket) -> None:
    """Have the kernel timestamp each datagram."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def socket_address(host: str, port: int) -> bytes:
    """struct sockaddr_in or sockaddr_in6. Resolves names; raises OSError when that fails."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    packed = socket.inet_pton(family, str(address[0]))
    start = struct.pack("=H", family) + struct.pack("!H", port)
    return start + packed + bytes(8) if family == socket.AF_INET else start + bytes(4) + packed + bytes(4)


def send_datagram(fd: int, data: bytes, address: bytes) -> bool:
    """Whether the kernel took it. `address` comes from `socket_address`."""
    return bool(_libc.sendto(fd, data, len(data), socket.MSG_DONTWAIT, address, len(address)) == len(data))


class DatagramReceiver:
    """Buffers for `receive`; used by one thread."""

    def __init__(self) -> None:
        self._data = ctypes.create_string_buffer(_DATAGRAM_BYTES)
        self._control = ctypes.create_string_buffer(_CONTROL_BYTES)
        self._view = memoryview(self._data).cast("B")
        self._vector = _IoVec(ctypes.addressof(self._data), _DATAGRAM_BYTES)
        self._header = _MessageHeader(
            None, 0, ctypes.pointer(self._vector), 1, ctypes.addressof(self._control), _CONTROL_BYTES, 0
        )
        self._reference = ctypes.byref(self._header)

    def receive(self, fd: int) -> tuple[bytes, float | None] | None:
        """The next datagram and its arrival (seconds, real-time clock; None: unknown). None when there is none."""
        while True:
            self._header.control_length = _CONTROL_BYTES
            length = _libc.recvmsg(fd, self._reference, socket.MSG_DONTWAIT)
            if length >= 0:
                break
            if ctypes.get_errno() != errno.ECONNREFUSED:  # that one reports an earlier send (ICMP)
                return None
        at: float | None = None
        if self._header.control_length >= _CONTROL.size:
            _, level, kind, seconds, nanoseconds = _CONTROL.unpack_from(self._control)
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                at = seconds + nanoseconds * 1e-9
        return self._view[:length].tobytes(), at
