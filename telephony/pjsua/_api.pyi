# Types of what we use of pjsua2 2.15.1, which has none of its own. Names and units are pjsua2's.
# Configuration records are `Any`-attributed: their fields are set once, in `engine.py`.

from typing import Any, Protocol, SupportsInt

EXTENSION_FILE: str

PJMEDIA_DIR_DECODING: int
PJMEDIA_DIR_ENCODING: int
PJMEDIA_FORMAT_PCM: int
PJMEDIA_FRAME_TYPE_AUDIO: int
PJMEDIA_SRTP_KEYING_SDES: int
PJMEDIA_SRTP_OPTIONAL: int
PJMEDIA_TYPE_AUDIO: int
PJSIP_EVENT_RX_MSG: int
PJSIP_EVENT_TSX_STATE: int
PJSIP_INV_STATE_CONFIRMED: int
PJSIP_INV_STATE_DISCONNECTED: int
PJSIP_INV_STATE_EARLY: int
PJSIP_TRANSPORT_UDP: int
PJSUA_CALL_MEDIA_ACTIVE: int
PJSUA_CALL_MEDIA_LOCAL_HOLD: int
PJSUA_CALL_MEDIA_REMOTE_HOLD: int
PJSUA_CALL_UNHOLD: int
PJSUA_DESTROY_NO_RX_MSG: int
PJSUA_DTMF_METHOD_RFC2833: int
PJSUA_DTMF_METHOD_SIP_INFO: int
PJSUA_SIP_TIMER_INACTIVE: int
PJ_QOS_TYPE_VOICE: int

class Error(Exception):
    status: int
    title: str
    reason: str

class ByteVector:
    this: Any
    def __init__(self, size: int) -> None: ...
    def __getitem__(self, index: int) -> int: ...
    def __setitem__(self, index: int, value: int) -> None: ...
    def __len__(self) -> int: ...

class MediaFrame:
    type: int
    buf: ByteVector
    size: int

class MediaFormatAudio:
    type: int
    def init(
        self, format_id: int, clock_rate: int, channel_count: int, frame_time_usec: int, bits_per_sample: int, /
    ) -> None: ...

class AudioMedia:
    def startTransmit(self, sink: AudioMedia) -> None: ...
    def stopTransmit(self, sink: AudioMedia) -> None: ...

class AudioMediaPort(AudioMedia):
    def __init__(self) -> None: ...
    def createPort(self, name: str, fmt: MediaFormatAudio) -> None: ...
    def onFrameRequested(self, frame: MediaFrame) -> None: ...
    def onFrameReceived(self, frame: MediaFrame) -> None: ...

class LogEntry:
    level: int
    msg: str
    threadName: str

class LogWriter:
    def __init__(self) -> None: ...
    def write(self, entry: LogEntry) -> None: ...
    def __disown__(self) -> LogWriter: ...

class SipRxData:
    info: str
    wholeMsg: str
    srcAddress: str

class _TsxStateSource:
    rdata: SipRxData

class _TsxState:
    type: int
    src: _TsxStateSource

class _SipEventBody:
    tsxState: _TsxState

class SipEvent:
    type: int
    body: _SipEventBody

class OnIncomingCallParam:
    callId: int
    rdata: SipRxData

class OnRejectedIncomingCallParam:
    callId: int
    remoteInfo: str
    statusCode: int
    reason: str

class OnCallStateParam:
    e: SipEvent

class OnCallMediaStateParam: ...

class OnCallTransferRequestParam:
    statusCode: int

class OnCallReplaceRequestParam:
    statusCode: int

class OnStreamCreatedParam:
    streamIdx: int
    @property
    def stream(self) -> SupportsInt: ...  # the address of the pjmedia_stream

class OnStreamDestroyedParam:
    streamIdx: int

class OnDtmfEventParam:
    method: int
    timestamp: int
    digit: str
    duration: int
    flags: int

class SipHeader:
    hName: str
    hValue: str

class _SipHeaderVector(Protocol):
    def push_back(self, header: SipHeader) -> None: ...

class _SipTxOption:
    headers: _SipHeaderVector

class _CallSetting:
    flag: int

class CallOpParam:
    statusCode: int
    opt: _CallSetting
    reason: str
    txOption: _SipTxOption
    def __init__(self, useDefaultCallSetting: bool = ...) -> None: ...

class CallSendDtmfParam:
    method: int
    duration: int
    digits: str

class _CallMediaInfo:
    index: int
    type: int
    dir: int
    status: int

class _CallInfo:
    state: int
    lastStatusCode: int
    lastReason: str
    callIdString: str
    media: list[_CallMediaInfo]

class _MathStat:
    n: int
    max: int
    min: int
    mean: int

class _RtcpStreamStat:
    pkt: int
    discard: int
    loss: int
    dup: int
    updateCount: int
    jitterUsec: _MathStat

class _RtcpStat:
    txStat: _RtcpStreamStat
    rxStat: _RtcpStreamStat
    rttUsec: _MathStat

class _JbufState:
    avgDelayMsec: int
    maxDelayMsec: int
    discard: int
    empty: int

class StreamStat:
    rtcp: _RtcpStat
    jbuf: _JbufState

class _StreamInfo:
    codecName: str
    remoteRtpAddress: str  # "192.0.2.1:4000"
    remoteRtcpAddress: str  # empty: not given
    rxPt: int
    audRxEventPt: int  # -1 and 0: none

class Account:
    def __init__(self) -> None: ...
    def create(self, config: AccountConfig) -> None: ...
    def modify(self, config: AccountConfig) -> None: ...
    def shutdown(self) -> None: ...
    def onIncomingCall(self, prm: OnIncomingCallParam) -> None: ...

class Call:
    def __init__(self, account: Account, call_id: int = ...) -> None: ...
    def getId(self) -> int: ...
    def getInfo(self) -> _CallInfo: ...
    def makeCall(self, uri: str, prm: CallOpParam) -> None: ...
    def getAudioMedia(self, index: int) -> AudioMedia: ...
    def getStreamInfo(self, index: int) -> _StreamInfo: ...
    def getStreamStat(self, index: int) -> StreamStat: ...
    def answer(self, prm: CallOpParam) -> None: ...
    def hangup(self, prm: CallOpParam) -> None: ...
    def setHold(self, prm: CallOpParam) -> None: ...
    def reinvite(self, prm: CallOpParam) -> None: ...
    def sendDtmf(self, prm: CallSendDtmfParam) -> None: ...
    def onCallState(self, prm: OnCallStateParam) -> None: ...
    def onCallMediaState(self, prm: OnCallMediaStateParam) -> None: ...
    def onStreamCreated(self, prm: OnStreamCreatedParam) -> None: ...
    def onStreamDestroyed(self, prm: OnStreamDestroyedParam) -> None: ...
    def onCallTransferRequest(self, prm: OnCallTransferRequestParam) -> None: ...
    def onCallReplaceRequest(self, prm: OnCallReplaceRequestParam) -> None: ...
    def onDtmfEvent(self, prm: OnDtmfEventParam) -> None: ...

class AccountConfig:
    idUri: str
    def __getattr__(self, name: str) -> Any: ...

class SrtpCrypto:
    name: str

class TransportConfig:
    port: int
    boundAddress: str
    def __getattr__(self, name: str) -> Any: ...

class EpConfig:
    def __getattr__(self, name: str) -> Any: ...

class AudDevManager:
    def setNullDev(self) -> None: ...
    def setNoDev(self) -> Any: ...
    def getPlaybackDevMedia(self) -> AudioMedia: ...

class _CodecInfo:
    codecId: str
    priority: int

class _TransportInfo:
    localName: str

class Endpoint:
    def __init__(self) -> None: ...
    def libCreate(self) -> None: ...
    def libInit(self, config: EpConfig) -> None: ...
    def libStart(self) -> None: ...
    def libHandleEvents(self, msec_timeout: int) -> int: ...
    def libDestroy(self, flags: int = ...) -> None: ...
    def transportCreate(self, type: int, config: TransportConfig) -> int: ...
    def transportGetInfo(self, id: int) -> _TransportInfo: ...
    def codecEnum2(self) -> list[_CodecInfo]: ...
    def codecSetPriority(self, codec_id: str, priority: int) -> None: ...
    def audDevManager(self) -> AudDevManager: ...
    def onRejectedIncomingCall(self, prm: OnRejectedIncomingCallParam) -> None: ...
