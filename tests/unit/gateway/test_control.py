import pytest

from agent.warm.channel import ChannelError, FrameDecoder
from gateway.control import WIRE, Heartbeat, Prepare, Ready, Stop

MESSAGES = [
    Ready(7, 5070, 4),
    Heartbeat(["a", "b"], 0.5),
    Stop(),
    Prepare("x-1", {"call_id": "x"}, "clinic.py", "Reception", "r"),
]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_messages_survive_any_fragmentation(size: int) -> None:
    stream = b"".join(WIRE.encode(message) for message in MESSAGES)
    decoder = FrameDecoder(WIRE)
    out = [m for i in range(0, len(stream), size) for m in decoder.feed(stream[i : i + size])]
    assert out == MESSAGES


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"kind":"Nope"}', b'{"kind":"Ready","x":1}', b"\xff"])
def test_a_frame_that_is_not_ours_is_an_error(body: bytes) -> None:
    with pytest.raises(ChannelError):
        FrameDecoder(WIRE).feed(len(body).to_bytes(4, "big") + body)


def test_an_absurd_length_is_refused_before_it_is_awaited() -> None:
    with pytest.raises(ChannelError, match="announced"):
        FrameDecoder(WIRE).feed((WIRE.most_bytes + 1).to_bytes(4, "big"))
