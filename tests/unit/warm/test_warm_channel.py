"""One end of a channel: messages that cannot be handled, and bytes that are not messages."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass

import pytest

from agent.testing.virtual_clock import run_virtual
from agent.warm.channel import Channel, ChannelError, FrameDecoder, Message, Wire


@dataclass(frozen=True, slots=True)
class Said(Message):
    text: str


class OurChannel(Channel):
    wire = Wire([Said], most_bytes=100)


def hearing(data: bytes) -> tuple[list[str], bool]:
    """What one end received: the texts, and whether it was closed."""

    async def run() -> tuple[list[str], bool]:
        ours, theirs = socket.socketpair()
        heard: list[str] = []

        def on_message(message: Message) -> None:
            assert isinstance(message, Said)
            if message.text == "bad":
                raise RuntimeError("cannot be dealt with")
            heard.append(message.text)

        channel = await OurChannel.open(ours, on_message, lambda: None)
        with theirs:
            theirs.sendall(data)
            await asyncio.sleep(0.1)
            closed = channel.closed.is_set()
            channel.close()
            await channel.closed.wait()
        return heard, closed

    return run_virtual(run())


def test_a_message_that_cannot_be_dealt_with_does_not_end_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    stream = b"".join(OurChannel.wire.encode(Said(text)) for text in ("one", "bad", "two"))
    with caplog.at_level(logging.ERROR):
        assert hearing(stream) == (["one", "two"], False)
    assert "handling a Said failed" in caplog.text


def test_what_is_no_message_ends_the_channel() -> None:
    assert hearing(OurChannel.wire.encode(Said("one")) + b"\x7f\xff\xff\xff") == ([], True)


def test_what_is_sent_has_a_limit() -> None:
    with pytest.raises(ChannelError, match=r"a Said of 2\d\d bytes is too large"):
        OurChannel.wire.encode(Said("x" * 200))


def test_a_channel_that_is_not_open_loses_what_is_sent() -> None:
    OurChannel(lambda message: None, lambda: None).send(Said("one"))


def test_a_thread_may_speak_while_the_loop_stands_still_but_not_into_a_frame_that_is_half_sent() -> None:
    async def run() -> list[str]:
        ours, theirs = socket.socketpair()
        channel = await OurChannel.open(ours, lambda message: None, lambda: None)
        decoder, texts = FrameDecoder(OurChannel.wire), list[str]()
        with theirs:
            threading.Thread(target=channel.send_past_the_loop, args=(Said("alive"),)).start()
            theirs.settimeout(2)
            texts += [message.text for message in decoder.feed(theirs.recv(4096)) if isinstance(message, Said)]
            while not channel._transport.get_write_buffer_size():  # type: ignore[union-attr]
                channel.send(Said("much"))
            channel.send_past_the_loop(Said("lost"))
            channel.close()
            theirs.setblocking(False)
            while not channel.closed.is_set():
                await asyncio.sleep(0)
                with suppress(BlockingIOError):
                    texts += [message.text for message in decoder.feed(theirs.recv(65536)) if isinstance(message, Said)]
        channel.send_past_the_loop(Said("too late"))
        return texts

    texts = asyncio.run(run())
    assert texts[0] == "alive"
    assert set(texts[1:]) == {"much"}
