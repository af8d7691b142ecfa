"""The warm parent: a process of one thread that has loaded what call workers need, and forks them.

A fork shares its memory with all others and is up in a fraction of the time that imports and models take. It is
started by the supervisor as `python -m gateway.callworker.warm FD`; FD is a SOCK_SEQPACKET socket of JSON messages:

    <- the settings, pickled                            once, first
    -> {"warm": true}                                   loaded
    <- {"fork": NAME, "rtp": [LOW, HIGH]}  + one fd     the worker's end of its control channel
    -> {"forked": NAME, "pid": PID}
    -> {"exited": PID, "status": STATUS}                as os.waitstatus_to_exitcode gives it

End of file: the gateway is gone; the workers see their own channels close and end their calls.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import selectors
import signal
import socket
import sys
import traceback
from typing import Any

from gateway.config import Settings

__all__ = ["main"]

MAX_MESSAGE_BYTES = 1024 * 1024


def main(argv: list[str]) -> int:
    control = socket.socket(fileno=int(argv[1]))
    control.setblocking(True)
    settings = pickle.loads(control.recv(MAX_MESSAGE_BYTES))  # noqa: S301 - our own supervisor's, over a private socket
    assert isinstance(settings, Settings)
    _preload(settings)
    control.send(b'{"warm": true}')
    return _serve(control, settings)


def _preload(settings: Settings) -> None:
    """Import and load before the first fork, and keep the collector from touching it (which would unshare it)."""
    from gateway.callworker.main import preload

    preload(settings)
    gc.collect()
    gc.freeze()


def _serve(control: socket.socket, settings: Settings) -> int:
    wake_read, wake_write = socket.socketpair()
    wake_write.setblocking(False)
    wake_read.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write.fileno())
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is wake_read:
                wake_read.recv(4096)
                _report_exits(control)
                continue
            data, fds, _, _ = socket.recv_fds(control, MAX_MESSAGE_BYTES, 1)
            if not data:
                signal.set_wakeup_fd(-1)
                return 0
            request = json.loads(data)
            pid = os.fork()
            if pid == 0:
                selector.close()
                for inherited in (control, wake_read, wake_write):
                    inherited.close()
                _become_worker(fds[0], settings, request)
            os.close(fds[0])
            _send(control, {"forked": request["fork"], "pid": pid})


def _become_worker(fd: int, settings: Settings, request: dict[str, Any]) -> None:
    """In the child; never returns to the parent's loop."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        from gateway.callworker.main import run

        low, high = request["rtp"]
        status = run(socket.socket(fileno=fd), settings, request["fork"], (low, high))
    except BaseException:  # noqa: BLE001 - a child must never return into its parent's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _report_exits(control: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _send(control, {"exited": pid, "status": os.waitstatus_to_exitcode(status)})


def _send(control: socket.socket, message: dict[str, Any]) -> None:
    try:
        control.send(json.dumps(message).encode())
    except OSError:
        pass  # the gateway is gone: the next receive says so


if __name__ == "__main__":
    sys.exit(main(sys.argv))
