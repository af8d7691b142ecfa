import pytest

from gateway.calls.media_watch import (
    SAID_SO_S,
    Arrivals,
    Finding,
    MediaAlarm,
    MediaLost,
    MediaWatch,
    SilenceSuppressed,
)


@pytest.fixture
def watch() -> MediaWatch:
    watch = MediaWatch(alarm_s=2.0, first_limit_s=30.0, gap_limit_s=20.0)
    watch.answered(100.0)
    return watch


def test_media_that_never_comes_alarms_once_and_ends_the_call_once(watch: MediaWatch) -> None:
    found = [finding for second in range(1, 60) for finding in watch.poll(Arrivals(0), 100.0 + second)]
    assert found == [
        MediaAlarm(102.0, "no RTP packet has arrived for 2 s"),
        MediaLost(130.0, "no RTP packet has arrived for 30 s"),
    ]


def test_packets_that_stop_end_the_call_after_the_gap(watch: MediaWatch) -> None:
    watch.first_media(100.1)
    assert watch.poll(Arrivals(50), 101.0) == ()
    found = [finding for second in range(2, 40) for finding in watch.poll(Arrivals(50), 100.0 + second)]
    assert found == [
        MediaAlarm(103.0, "RTP packets have been missing for 2 s"),
        MediaLost(121.0, "RTP packets have been missing for 20 s"),
    ]


def test_a_silent_caller_whose_packets_come_is_not_lost(watch: MediaWatch) -> None:
    assert [f for s in range(1, 100) for f in watch.poll(Arrivals(50 * s), 100.0 + s)] == []


def test_hold_is_no_loss_and_the_gap_counts_from_resumption(watch: MediaWatch) -> None:
    watch.first_media(100.1)
    watch.poll(Arrivals(50), 101.0)
    watch.held(101.5)
    assert [f for s in range(2, 100) for f in watch.poll(Arrivals(50), 100.0 + s)] == []
    watch.resumed(200.0)
    assert watch.poll(Arrivals(50), 201.0) == ()
    assert watch.poll(Arrivals(50), 202.0) == (MediaAlarm(202.0, "RTP packets have been missing for 2 s"),)


def test_before_answer_nothing_is_missed() -> None:
    assert MediaWatch(2.0, 30.0, 20.0).poll(Arrivals(), 1e6) == ()


# --- phones that suppress silence -------------------------------------------------------------------------------------


def found(watch: MediaWatch, until_s: int, **counts: int) -> list[Finding]:
    """Second by second from 102 on; a count of 1 grows each second, 0 stays at what it was."""
    findings: list[Finding] = []
    for s in range(2, until_s):
        grown = {name: s if grows else 0 for name, grows in counts.items()}
        findings += watch.poll(Arrivals(**{"rtp": 50, **grown}), 100.0 + s)
    return findings


def test_who_sends_rtcp_is_alive_and_the_record_says_that_it_is_silence(watch: MediaWatch) -> None:
    watch.first_media(100.1)
    watch.poll(Arrivals(50), 101.0)
    assert found(watch, 1000, rtcp=1) == [
        SilenceSuppressed(103.0, "RTP packets have been missing for 2 s: the phone suppresses silence, RTCP arrives")
    ]


def test_rtcp_alone_is_a_sign_from_the_beginning(watch: MediaWatch) -> None:
    assert found(watch, 1000, rtp=0, rtcp=1) == [
        SilenceSuppressed(102.0, "no RTP packet has arrived for 2 s: the phone suppresses silence, RTCP arrives")
    ]


def test_rtcp_that_stops_as_well_ends_the_call_and_says_so(watch: MediaWatch) -> None:
    watch.poll(Arrivals(50), 101.0)
    for s in range(2, 40):
        watch.poll(Arrivals(50, 0, s), 100.0 + s)
    findings = [finding for s in range(40, 80) for finding in watch.poll(Arrivals(50, 0, 39), 100.0 + s)]
    assert findings == [MediaLost(159.0, "RTP packets have been missing for 58 s, no RTCP for 20 s")]


def test_comfort_noise_is_rtp_and_explains_the_silence_behind_it(watch: MediaWatch) -> None:
    watch.poll(Arrivals(50), 101.0)
    watch.poll(Arrivals(51, 1), 102.0)
    why = "the phone suppresses silence, the last packet was comfort noise"
    findings = [finding for s in range(3, 300) for finding in watch.poll(Arrivals(51, 1), 100.0 + s)]
    assert findings == [SilenceSuppressed(104.0, f"RTP packets have been missing for 2 s: {why}")]
    # Audio again, and then nothing at all, which is not silence.
    watch.poll(Arrivals(52, 1), 400.0)
    assert [type(f) for s in range(401, 430) for f in watch.poll(Arrivals(52, 1), float(s))] == [MediaAlarm, MediaLost]


def test_a_phone_that_announces_it_is_believed_but_not_for_ever() -> None:
    watch = MediaWatch(alarm_s=2.0, first_limit_s=30.0, gap_limit_s=20.0, suppresses_silence=True)
    watch.answered(100.0)
    watch.poll(Arrivals(50), 101.0)
    findings = found(watch, 800)
    assert [type(finding) for finding in findings] == [SilenceSuppressed, MediaLost]
    assert findings[1].at == 101.0 + SAID_SO_S


def test_a_phone_that_announces_it_and_never_sends_anything_is_a_dead_line() -> None:
    watch = MediaWatch(alarm_s=2.0, first_limit_s=30.0, gap_limit_s=20.0, suppresses_silence=True)
    watch.answered(100.0)
    assert found(watch, 100, rtp=0) == [
        MediaAlarm(102.0, "no RTP packet has arrived for 2 s"),
        MediaLost(130.0, "no RTP packet has arrived for 30 s"),
    ]
