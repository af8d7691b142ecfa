// Joins the room that /session names once it is there, and reports how loud each participant is, ten times a second.
// Speaks itself (Chromium's fake microphone, which beeps) when a report is answered so.
"use strict";

const { Room, RoomEvent, Track } = LivekitClient;
const REPORT_MS = 100;
const tell = (path, what) =>
  fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what) });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

class Meter {
  // Chromium gives WebAudio nothing of a remote track that no element plays.
  constructor(context, track) {
    this.element = track.attach();
    this.element.muted = true;
    this.analyser = context.createAnalyser();
    this.analyser.fftSize = 4096; // 85 ms at 48 kHz: next to nothing is missed between two reports
    context.createMediaStreamSource(new MediaStream([track.mediaStreamTrack])).connect(this.analyser);
    this.samples = new Float32Array(this.analyser.fftSize);
  }

  rms() {
    this.analyser.getFloatTimeDomainData(this.samples);
    return Math.sqrt(this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length);
  }
}

async function session() {
  for (;;) {
    const answer = await fetch("/session");
    if (answer.status === 200) return answer.json();
    await pause(REPORT_MS);
  }
}

async function main() {
  const context = new AudioContext();
  await context.resume();
  await tell("/ready", {});
  const { url, token } = await session();
  const room = new Room();
  const meters = new Map();
  room.on(RoomEvent.TrackSubscribed, (track, publication, who) => {
    if (track.kind === Track.Kind.Audio) meters.set(who.identity, new Meter(context, track));
  });
  room.on(RoomEvent.TrackUnsubscribed, (track, publication, who) => meters.delete(who.identity));
  let over = false;
  room.on(RoomEvent.Disconnected, () => (over = true));
  await room.connect(url, token);
  let speaks = false;
  while (!over) {
    const levels = Object.fromEntries([...meters].map(([who, meter]) => [who, meter.rms()]));
    const wanted = await (await tell("/levels", levels)).json();
    if (wanted.speak !== speaks) {
      speaks = wanted.speak;
      await room.localParticipant.setMicrophoneEnabled(speaks);
    }
    await pause(REPORT_MS);
  }
}

main().catch((error) => tell("/failed", { error: String(error), stack: error.stack }));
