// The page without a server: a photo or the camera, read in this browser.

import { signal, useSignal } from "@preact/signals";
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import "../../src/style.css";
import { Boxes, FaceCard, pictureWords } from "../../src/face";
import { Notice, Purpose } from "../../src/notice";
import { W } from "../../src/words";
import { ask, pixels, type Reading, readFile } from "./ask";

const LONGEST = 640; // pixels of the longer side of a camera's picture

interface Photo {
  name: string;
  url: string;
  reading: Reading | null;
  problem: string | null;
}

const photo = signal<Photo | null>(null);
const camera = signal<"off" | "notice" | "on">("off");

async function take(file: File | undefined): Promise<void> {
  if (!file) return;
  camera.value = "off";
  if (photo.value) URL.revokeObjectURL(photo.value.url);
  const mine: Photo = { name: file.name, url: URL.createObjectURL(file), reading: null, problem: null };
  photo.value = mine;
  const show = (to: Partial<Photo>) => {
    if (photo.value === mine) photo.value = { ...mine, ...to };
  };
  try {
    show({ reading: await readFile(file) });
  } catch (error) {
    const shown = error instanceof DOMException;
    show({ problem: shown ? W.alone.notPicture(file.name) : `${W.alone.unread}: ${String(error)}` });
  }
}

function Page() {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const over = (event: DragEvent) => event.preventDefault();
    const drop = (event: DragEvent) => {
      event.preventDefault();
      void take(event.dataTransfer?.files[0]);
    };
    addEventListener("dragover", over);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("drop", drop);
    };
  }, []);
  return (
    <>
      <header>
        <h1>{W.name}</h1>
        <p class="soft">{W.alone.tagline}</p>
      </header>
      <main>
        <section class="drop" aria-label={W.drop.title}>
          <p>{W.alone.lead}</p>
          <p class="actions">
            <button type="button" class="main" onClick={() => field.current?.click()}>
              {W.alone.choose}
            </button>
            <button type="button" disabled={camera.value !== "off"} onClick={() => (camera.value = "notice")}>
              {W.drop.camera}
            </button>
          </p>
          <input
            ref={field}
            type="file"
            hidden
            accept="image/*"
            aria-label={W.alone.choose}
            onChange={(event) => {
              void take(event.currentTarget.files?.[0]);
              event.currentTarget.value = "";
            }}
          />
        </section>
        {camera.value === "notice" ? <Before /> : null}
        {camera.value === "on" ? <Live /> : null}
        {camera.value === "off" && photo.value ? <Shown photo={photo.value} /> : null}
      </main>
      <footer class="soft">
        <p>{W.meaning}</p>
      </footer>
    </>
  );
}

function Shown({ photo: { name, url, reading, problem } }: { photo: Photo }) {
  const faces = reading?.faces ?? [];
  return (
    <section aria-labelledby="photo-title">
      <h2 id="photo-title">{name}</h2>
      <p class={problem ? "bad" : "soft"} role="status">
        {problem ?? (reading ? W.alone.took(faces.length, reading.milliseconds) : `${W.alone.reading}…`)}
      </p>
      {problem ? null : (
        <div class={`photo ${faces.length > 2 ? "many" : ""}`}>
          <figure class="picture">
            <img src={url} alt={W.photos.alt(name, reading ? pictureWords(faces) : "")} />
            {reading ? <Boxes faces={faces} width={reading.width} height={reading.height} /> : null}
          </figure>
          <div class="faces">
            {faces.map((face) => (
              <FaceCard key={face.face} face={face} />
            ))}
          </div>
        </div>
      )}
    </section>
  );
}

const Before = () => (
  <section aria-label={W.live.title}>
    <Notice own />
    <Purpose />
    <p class="soft">{W.notice.duty}</p>
    <p class="actions">
      <button type="button" class="main" onClick={() => (camera.value = "on")}>
        {W.live.start}
      </button>
      <button type="button" onClick={() => (camera.value = "off")}>
        {W.live.back}
      </button>
    </p>
  </section>
);

function Live() {
  const video = useRef<HTMLVideoElement>(null);
  const seen = useSignal<Reading | null>(null);
  const problem = useSignal<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    void run(video.current as HTMLVideoElement, stop.signal, (reading) => (seen.value = reading)).catch((error: unknown) => {
      const name = error instanceof DOMException ? error.name : "other";
      if (!stop.signal.aborted) problem.value = W.live.errors[name] ?? `${W.live.errors.other} ${String(error)}`;
    });
    return () => stop.abort();
  }, []);
  const faces = seen.value?.faces ?? [];
  return (
    <section aria-label={W.live.title}>
      {seen.value && !problem.value ? <p class="banner">{W.live.running}</p> : null}
      <div class="top">
        <button type="button" class="main" onClick={() => (camera.value = "off")}>
          {problem.value ? W.live.close : W.live.stop}
        </button>
        <span class="soft">{seen.value ? W.alone.took(faces.length, seen.value.milliseconds) : null}</span>
      </div>
      {problem.value ? (
        <p class="bad" role="alert">
          {problem.value}
        </p>
      ) : (
        <div class="player">
          <div class="picture mirrored">
            <video ref={video} muted playsInline aria-label={W.live.video} />
            <Boxes faces={faces} width={seen.value?.width ?? 0} height={seen.value?.height ?? 0} mirrored />
          </div>
          <div class="now" tabIndex={0} role="region" aria-label={W.clip.nowRegion}>
            {seen.value ? faces.length ? null : <p>{W.face.noneNow}</p> : <p class="soft">{W.alone.loading}…</p>}
            {faces.map((face) => (
              <FaceCard key={face.face} face={face} />
            ))}
          </div>
        </div>
      )}
    </section>
  );
}

/** The newest picture is read and forgotten, one after the other. */
async function run(video: HTMLVideoElement, stop: AbortSignal, show: (reading: Reading) => void): Promise<void> {
  if (!navigator.mediaDevices) throw new DOMException("", "insecure");
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" } });
  try {
    video.srcObject = stream;
    await video.play();
    while (!stop.aborted) {
      const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
      const reading = await ask(pixels(video, Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale)));
      if (!stop.aborted) show(reading);
    }
  } finally {
    stream.getTracks().forEach((track) => track.stop());
  }
}

render(<Page />, document.body);
