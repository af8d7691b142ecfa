"""Connects a running gateway to a terminal."""

from __future__ import annotations

from gateway.app import Gateway
from gateway.record import CallClosed, CallEvents, CallOpened, CallRecord, RecordMessage, WorkerLost
from gateway.terminal import Terminal

__all__ = ["follow"]


def follow(gateway: Gateway, terminal: Terminal) -> None:
    """Show every call of `gateway` live."""

    def show(message: RecordMessage) -> None:
        match message:
            case CallOpened():
                terminal.line(
                    f"call {message.call_id}: {message.caller or 'withheld'} -> {message.called}, {message.persona}"
                )
            case CallEvents():
                for event in message.events:
                    terminal.event(event)
            case CallClosed():
                media = message.media
                quality = "" if media is None else f", RTP {media.packets_received} in, {media.packets_lost} lost"
                terminal.line(f"call {message.call_id} ended by {message.ended_by}: {message.end_reason}{quality}")
                if message.recording is not None and message.recording.error:
                    terminal.line(f"recording: {message.recording.error}", "alarm")
            case WorkerLost():
                terminal.line(f"worker lost with calls {', '.join(message.call_ids)}", "alarm")
            case CallRecord():
                calls = "call" if message.attempts == 1 else f"{message.attempts} calls"
                terminal.line(f"{calls} refused with {message.sip_status}: {message.refused_by}", "alarm")

    gateway.listeners.append(show)
