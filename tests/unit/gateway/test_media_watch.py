import pytest

from gateway.callworker.media_watch import MediaAlarm, MediaLost, MediaWatch


@pytest.fixture
def watch() -> MediaWatch:
    watch = MediaWatch(alarm_s=2.0, first_limit_s=30.0, gap_limit_s=20.0)
    watch.answered(100.0)
    return watch


def test_media_that_never_comes_alarms_once_and_ends_the_call_once(watch: MediaWatch) -> None:
    found = [finding for second in range(1, 60) for finding in watch.poll(0, 100.0 + second)]
    assert found == [
        MediaAlarm(102.0, "no RTP packet has come for 2 s"),
        MediaLost(130.0, "no RTP packet has come for 30 s"),
    ]


def test_packets_that_stop_end_the_call_after_the_gap(watch: MediaWatch) -> None:
    watch.first_media(100.1)
    assert watch.poll(50, 101.0) == ()
    found = [finding for second in range(2, 40) for finding in watch.poll(50, 100.0 + second)]
    assert found == [
        MediaAlarm(103.0, "RTP packets stopped coming for 2 s"),
        MediaLost(121.0, "RTP packets stopped coming for 20 s"),
    ]


def test_a_silent_caller_whose_packets_come_is_not_lost(watch: MediaWatch) -> None:
    assert [f for s in range(1, 100) for f in watch.poll(50 * s, 100.0 + s)] == []


def test_hold_is_no_loss_and_the_gap_counts_from_resumption(watch: MediaWatch) -> None:
    watch.first_media(100.1)
    watch.poll(50, 101.0)
    watch.held(101.5)
    assert [f for s in range(2, 100) for f in watch.poll(50, 100.0 + s)] == []
    watch.resumed(200.0)
    assert watch.poll(50, 201.0) == ()
    assert watch.poll(50, 202.0) == (MediaAlarm(202.0, "RTP packets stopped coming for 2 s"),)


def test_before_answer_nothing_is_missed() -> None:
    assert MediaWatch(2.0, 30.0, 20.0).poll(0, 1e6) == ()
