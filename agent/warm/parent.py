"""What runs in a warm parent: one thread, everything loaded, forks on request.

Its owner (`agent.warm.client`) speaks with it over a SOCK_SEQPACKET socket:

    <- the `WarmProgram`, pickled                       once, first
    -> {"warm": true}                                   loaded; or {"failed": TEXT}, and it ends
    <- {"fork": NAME, "details": {…}}  + one fd         the process's end of its control channel
    -> {"forked": NAME, "pid": PID}
    -> {"exited": PID, "status": STATUS}                as os.waitstatus_to_exitcode gives it

End of file: the owner is gone; the forks see their own channels close and end.

Native libraries that start threads (PJSIP, LiveKit's) are used in the forks only: a thread does not survive a fork.
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

from agent.warm.memory import give_back

__all__ = ["MAX_MESSAGE_BYTES", "NAME", "LoadFailed", "WarmProgram", "serve", "serve_and_exit"]

MAX_MESSAGE_BYTES = 1024 * 1024
NAME = "trunkline-warm"  # of the process, as ps and top show it


class LoadFailed(Exception):
    """The program can't be loaded; the text says why."""


class WarmProgram(Protocol):
    """What a warm parent loads and its forks run. Pickled."""

    def load(self) -> None:
        """Import and load; start no thread. LoadFailed is reported without a traceback, anything else with one."""

    def run(self, channel: socket.socket, name: str, details: Mapping[str, Any]) -> int:
        """In a fresh fork, until its work is done. `channel` is its end of the control channel, `details` those of the
        request. Returns the exit status."""


def serve(control: socket.socket) -> int:
    """Be a warm parent until the owner is gone. Returns the exit status."""
    control.setblocking(True)
    # The owner ends everything and lets calls end first; Ctrl-C or closing the terminal would hit all processes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _call_process(NAME)
    pickled = control.recv(MAX_MESSAGE_BYTES)
    if not pickled:
        return 0
    try:
        program: WarmProgram = pickle.loads(pickled)  # noqa: S301 - our own owner's, over a private socket
        program.load()
    except Exception as error:  # noqa: BLE001 - the owner must learn of any failure in a user's module
        if not isinstance(error, LoadFailed):
            traceback.print_exc()
        _send(control, {"failed": f"{type(error).__name__}: {error}"[:2000]})
        return 1
    gc.collect()
    give_back()
    gc.freeze()  # the collector must not touch, and thereby unshare, what all forks share
    _send(control, {"warm": True})
    return _fork_on_request(control, program)


def serve_and_exit(control: socket.socket) -> NoReturn:
    """`serve` in a forked process, which must not continue its caller's code."""
    status = 1
    try:
        status = serve(control)
    except BaseException:  # noqa: BLE001 - see above
        traceback.print_exc()
    finally:
        _leave(status)


def _fork_on_request(control: socket.socket, program: WarmProgram) -> int:
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
            try:
                data, fds, _, _ = socket.recv_fds(control, MAX_MESSAGE_BYTES, 1)
            except ConnectionError:  # the owner is gone without reading our last message
                data = b""
            if not data:
                signal.set_wakeup_fd(-1)
                return 0
            request = json.loads(data)
            pid = os.fork()
            if pid == 0:
                selector.close()
                for inherited in (control, wake_read, wake_write):
                    inherited.close()
                _become_process(fds[0], program, str(request["fork"]), request["details"])
            os.close(fds[0])
            _send(control, {"forked": request["fork"], "pid": pid})


def _become_process(fd: int, program: WarmProgram, name: str, details: Mapping[str, Any]) -> NoReturn:
    """In the child; never returns to the parent's loop."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _call_process(f"trunkline {name}")
        status = program.run(socket.socket(fileno=fd), name, details)
    except BaseException:  # noqa: BLE001 - a child must never return into its parent's loop
        traceback.print_exc()
    finally:
        _leave(status)


def _leave(status: int) -> NoReturn:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
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
        pass  # the owner is gone: the next receive says so


def _call_process(name: str) -> None:
    """What ps and top show; Linux keeps 15 bytes."""
    try:
        Path("/proc/self/comm").write_text(name)
    except OSError:
        pass


if __name__ == "__main__":
    # Under its own name, so that unpickling finds the classes of this module's importers.
    from agent.warm.parent import serve_and_exit as serve_warm

    serve_warm(socket.socket(fileno=int(sys.argv[1])))
