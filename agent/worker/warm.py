"""The warm parent of job processes: one thread, everything loaded, forks on request.

It is started as `python -m agent.worker.warm FD`; FD is a SOCK_SEQPACKET socket:

    <- the `Program`, pickled                           once, first
    -> {"warm": true}                                   or {"failed": TEXT}
    <- {"fork": NAME}  + one fd                         the process's end of its control channel
    -> {"forked": NAME, "pid": PID}
    -> {"exited": PID, "status": STATUS}                as os.waitstatus_to_exitcode gives it

LiveKit's native library starts threads when it is first used, and a thread does not survive a fork: here it is loaded
at most, and used in the forked processes only. End of file: the worker is gone; the processes see their own channels
close and end.
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

from agent.worker.program import Program, ProgramError

__all__ = ["MAX_MESSAGE_BYTES", "main"]

MAX_MESSAGE_BYTES = 1024 * 1024


def main(argv: list[str]) -> int:
    control = socket.socket(fileno=int(argv[1]))
    control.setblocking(True)
    # Who ends all this is the worker, which lets its jobs end first; a Ctrl-C goes to the whole terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = pickle.loads(control.recv(MAX_MESSAGE_BYTES))  # noqa: S301 - our own worker's, over a private socket
    assert isinstance(program, Program)
    try:
        program.load()
    except Exception as error:  # noqa: BLE001 - whatever the user's module does, the worker must be told
        if not isinstance(error, ProgramError):
            traceback.print_exc()
        control.send(json.dumps({"failed": f"{type(error).__name__}: {error}"[:2000]}).encode())
        return 1
    gc.collect()
    gc.freeze()  # the collector must not touch, and so unshare, what all processes share
    control.send(b'{"warm": true}')
    return _serve(control, program)


def _serve(control: socket.socket, program: Program) -> int:
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
                _become_process(fds[0], program, str(request["fork"]))
            os.close(fds[0])
            _send(control, {"forked": request["fork"], "pid": pid})


def _become_process(fd: int, program: Program, name: str) -> None:
    """In the child; never returns to the parent's loop."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        from agent.worker.process import run

        status = run(socket.socket(fileno=fd), program, name)
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
        pass  # the worker is gone: the next receive says so


if __name__ == "__main__":
    # Under its own name, so that what is pickled finds the classes of this module's importers.
    from agent.worker.warm import main as warm_main

    sys.exit(warm_main(sys.argv))
