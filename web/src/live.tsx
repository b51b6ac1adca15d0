// The camera: the notice first, then its newest picture sent, read and shown, one after the other.

import { signal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ask, openLive, Problem } from "./api";
import { Boxes, FaceCard, pictureWords } from "./face";
import { Notice, Purpose } from "./notice";
import type { Face, LiveFrame, Trouble } from "./records";
import { ProblemText } from "./say";
import { W } from "./words";

const LONGEST = 640; // pixels of the longer side of what is sent
const QUALITY = 0.85; // of its JPEG
const TELL = 4000; // milliseconds between what a screen reader is told
const REFUSED = 1008; // the server wants a token
const UNREAD = 10; // pictures in a row that could not be read

export const live = signal<"off" | "notice" | "on">("off");

export function Live() {
  if (live.value === "off") return null;
  return (
    <section aria-labelledby="live-title">
      <h2 id="live-title">{W.live.title}</h2>
      {live.value === "notice" ? <Before /> : <Running />}
    </section>
  );
}

function Before() {
  const start = useRef<HTMLButtonElement>(null);
  useEffect(() => start.current?.focus(), []);
  return (
    <>
      <Notice level={3} />
      <Purpose />
      <p class="soft">{W.notice.duty}</p>
      <p class="actions">
        <button ref={start} type="button" class="main" onClick={() => (live.value = "on")}>
          {W.live.start}
        </button>
        <button type="button" onClick={() => (live.value = "off")}>
          {W.live.back}
        </button>
      </p>
    </>
  );
}

interface Seen {
  faces: Face[];
  width: number;
  height: number;
}

function Running() {
  const video = useRef<HTMLVideoElement>(null);
  const seen = useSignal<Seen>({ faces: [], width: 0, height: 0 });
  const pace = useSignal("");
  const told = useSignal("");
  const problem = useSignal<Problem | null>(null);
  const which = useSignal<string | null>(null);
  const cameras = useSignal<MediaDeviceInfo[]>([]);
  const attempt = useSignal(0);
  const end = useRef<HTMLButtonElement>(null);
  useEffect(() => end.current?.focus(), []);
  useEffect(() => {
    const stop = new AbortController();
    problem.value = null;
    seen.value = { faces: [], width: 0, height: 0 };
    void run(video, which.value, stop.signal, {
      onCameras: (all) => (cameras.value = all),
      onFrame: (next, perSecond, delay) => {
        seen.value = next;
        pace.value = W.live.pace(perSecond, delay);
      },
      onTell: (words) => (told.value = words),
    }).catch((error: unknown) => {
      if (!stop.signal.aborted) problem.value = cameraProblem(error);
    });
    return () => stop.abort();
  }, [which.value, attempt.value]);
  const { faces, width, height } = seen.value;
  return (
    <>
      {width && !problem.value ? <p class="banner">{W.live.running}</p> : null}
      <div class="top">
        <button ref={end} type="button" class="main" onClick={() => (live.value = "off")}>
          {problem.value ? W.live.close : W.live.stop}
        </button>
        {cameras.value.length > 1 ? <Choice cameras={cameras.value} onChoose={(id) => (which.value = id)} /> : null}
        {problem.value ? null : <span class="soft">{pace}</span>}
      </div>
      {problem.value ? (
        <div role="alert">
          <ProblemText problem={problem.value} />
          <p class="actions">
            <button type="button" onClick={() => (attempt.value += 1)}>
              {W.live.retry}
            </button>
          </p>
        </div>
      ) : (
        <div class="player">
          <div class="picture mirrored">
            <video ref={video} muted playsInline aria-label={W.live.video} />
            <Boxes faces={faces} width={width} height={height} mirrored />
          </div>
          <div class="now" tabIndex={0} role="region" aria-label={W.clip.nowRegion}>
            {width ? faces.length ? null : <p>{W.face.noneNow}</p> : <p class="soft">{W.live.starting}…</p>}
            {faces.map((face) => (
              <FaceCard key={face.track ?? face.face} face={face} />
            ))}
          </div>
        </div>
      )}
      <p class="hidden" role="status">
        {told}
      </p>
    </>
  );
}

function Choice({ cameras, onChoose }: { cameras: MediaDeviceInfo[]; onChoose: (id: string) => void }) {
  return (
    <label>
      {W.live.which}
      <select onChange={(e) => onChoose(e.currentTarget.value)}>
        {cameras.map((camera, i) => (
          <option key={camera.deviceId} value={camera.deviceId}>
            {camera.label || W.live.camera(i + 1)}
          </option>
        ))}
      </select>
    </label>
  );
}

function cameraProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof DOMException) return new Problem(W.live.errors.other ?? "", W.live.errors[error.name] ?? error.message);
  return new Problem(W.live.errors.other ?? "");
}

interface Listener {
  onCameras: (all: MediaDeviceInfo[]) => void;
  onFrame: (seen: Seen, perSecond: number, delay: number) => void;
  onTell: (words: string) => void;
}

async function run(
  video: RefObject<HTMLVideoElement | null>,
  device: string | null,
  stop: AbortSignal,
  listener: Listener,
): Promise<void> {
  if (!navigator.mediaDevices) throw new Problem(W.live.errors.other ?? "", W.live.errors.insecure);
  const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
  const stream = await navigator.mediaDevices.getUserMedia({
    video: device ? { ...size, deviceId: { exact: device } } : { ...size, facingMode: "user" },
  });
  const release = () => stream.getTracks().forEach((track) => track.stop());
  if (stop.aborted) return release();
  stop.addEventListener("abort", release);
  try {
    const all = await navigator.mediaDevices.enumerateDevices();
    listener.onCameras(all.filter((d) => d.kind === "videoinput"));
    if (!video.current) return;
    video.current.srcObject = stream;
    await video.current.play();
    while (!stop.aborted && (await talk(video.current, stop, listener)) === "token") {
      if (!(await ask())) throw new Problem(W.token.title);
    }
  } finally {
    release();
  }
}

/** One connection: a picture goes out when the reading of the one before has come back. */
function talk(video: HTMLVideoElement, stop: AbortSignal, listener: Listener): Promise<"over" | "token"> {
  return new Promise((resolve, reject) => {
    const socket = openLive();
    const canvas = document.createElement("canvas");
    let sent = 0;
    let ends: number[] = [];
    let told = 0;
    let heard = false;
    let unread = 0;
    const send = async () => {
      const picture = await grab(video, canvas);
      if (stop.aborted || socket.readyState !== WebSocket.OPEN) return;
      sent = performance.now();
      if (picture) socket.send(picture);
      else setTimeout(() => void send(), 100);
    };
    socket.onopen = () => void send();
    socket.onmessage = (message: MessageEvent<string>) => {
      if (stop.aborted) return;
      const said = JSON.parse(message.data) as LiveFrame | { error: Trouble };
      if ("error" in said) {
        unread += 1;
        if (unread < UNREAD) return void send();
        reject(Problem.of(said.error));
        return socket.close();
      }
      unread = 0;
      heard = true;
      const now = performance.now();
      ends = [...ends.filter((t) => now - t < 2000), now];
      const faces = [...said.faces].sort((a, b) => (a.track ?? a.face) - (b.track ?? b.face));
      const span = Math.max(1, now - (ends[0] ?? now));
      listener.onFrame({ faces, width: canvas.width, height: canvas.height }, (1000 * (ends.length - 1)) / span, now - sent);
      if (now - told > TELL) {
        told = now;
        listener.onTell(W.live.summary(pictureWords(faces)));
      }
      requestAnimationFrame(() => void send());
    };
    socket.onclose = (event) => {
      if (stop.aborted) resolve("over");
      else if (event.code === REFUSED && !heard) resolve("token");
      else reject(new Problem(W.live.lost, event.reason));
    };
    stop.addEventListener("abort", () => {
      socket.close();
      resolve("over");
    });
  });
}

/** The picture of this moment as JPEG, at most LONGEST pixels wide or high. */
function grab(video: HTMLVideoElement, canvas: HTMLCanvasElement): Promise<Blob | null> {
  const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight, 1));
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  if (!canvas.width) return Promise.resolve(null);
  canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((take) => canvas.toBlob(take, "image/jpeg", QUALITY));
}
