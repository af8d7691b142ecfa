"""RTP statistics of a leg: read from PJSIP's streams, added up over the streams that re-INVITEs replace."""

from __future__ import annotations

from telephony.call import MediaStatistics
from telephony.pjsua._api import Call
from telephony.pjsua.native import packets_reordered

__all__ = ["combine", "read_stream"]


def read_stream(call: Call, slot: int, index: int) -> MediaStatistics:
    """Statistics of one live stream. On the PJSIP thread only; raises pjsua2's Error when there is no such stream."""
    stat = call.getStreamStat(index)
    received, sent, jitter = stat.rtcp.rxStat, stat.rtcp.txStat, stat.rtcp.rxStat.jitterUsec
    round_trip = stat.rtcp.rttUsec
    return MediaStatistics(
        codec=call.getStreamInfo(index).codecName,
        packets_received=received.pkt,
        packets_lost=received.loss,  # expected minus received: a duplicate hides a loss (RFC 3550 section 6.4.1)
        packets_discarded=received.discard + stat.jbuf.discard,
        packets_reordered=packets_reordered(slot, index, received.pkt, received.dup),
        packets_duplicated=received.dup,
        packets_sent=sent.pkt,
        remote_packets_lost=sent.loss,
        jitter_ms=jitter.mean / 1000,
        jitter_max_ms=jitter.max / 1000,
        jitter_buffer_ms=float(stat.jbuf.avgDelayMsec),
        jitter_buffer_max_ms=float(stat.jbuf.maxDelayMsec),
        playout_empty=stat.jbuf.empty,
        round_trip_ms=round_trip.mean / 1000 if round_trip.n else None,
        packets_rtcp=sent.updateCount,  # those with a report on what we send
    )


def combine(earlier: MediaStatistics | None, later: MediaStatistics | None) -> MediaStatistics | None:
    """Merges the statistics of two streams of a leg: counts are added, means weighted by packets received."""
    if earlier is None or later is None:
        return earlier or later
    packets = earlier.packets_received + later.packets_received

    def mean(one: float, other: float) -> float:
        if not packets:
            return other
        return (one * earlier.packets_received + other * later.packets_received) / packets

    return MediaStatistics(
        codec=later.codec,
        packets_received=packets,
        packets_lost=earlier.packets_lost + later.packets_lost,
        packets_discarded=earlier.packets_discarded + later.packets_discarded,
        packets_reordered=earlier.packets_reordered + later.packets_reordered,
        packets_duplicated=earlier.packets_duplicated + later.packets_duplicated,
        packets_sent=earlier.packets_sent + later.packets_sent,
        remote_packets_lost=earlier.remote_packets_lost + later.remote_packets_lost,
        jitter_ms=mean(earlier.jitter_ms, later.jitter_ms),
        jitter_max_ms=max(earlier.jitter_max_ms, later.jitter_max_ms),
        jitter_buffer_ms=mean(earlier.jitter_buffer_ms, later.jitter_buffer_ms),
        jitter_buffer_max_ms=max(earlier.jitter_buffer_max_ms, later.jitter_buffer_max_ms),
        playout_empty=earlier.playout_empty + later.playout_empty,
        round_trip_ms=earlier.round_trip_ms if later.round_trip_ms is None else later.round_trip_ms,
        packets_comfort_noise=earlier.packets_comfort_noise + later.packets_comfort_noise,
        packets_rtcp=earlier.packets_rtcp + later.packets_rtcp,
        packets_unknown_payload=earlier.packets_unknown_payload + later.packets_unknown_payload,
        packets_from_strangers=earlier.packets_from_strangers + later.packets_from_strangers,
        presses_dropped=earlier.presses_dropped + later.presses_dropped,
    )
