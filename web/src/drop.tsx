// Where photos and clips come in: dropped anywhere, pasted, chosen, or from the camera.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { about, Problem } from "./api";
import { addClip, options } from "./clips";
import { live } from "./live";
import { addPhotos } from "./photos";
import { complain } from "./say";
import { W } from "./words";

const PHOTO = /\.(jpe?g|png|webp|gif|bmp|tiff?|heic|heif|avif|ppm|pgm)$/i;
const CLIP = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ts|mts|wmv|flv|ogv|3gp)$/i;

let pasted = 0;

/** Sort files into photos and clips by what the browser says they are, else by their name. */
export function take(files: Iterable<File>): void {
  const photos: File[] = [];
  let any = false;
  for (const file of files) {
    any = true;
    const clip = file.type.startsWith("video/") || CLIP.test(file.name);
    const limit = clip ? about.value?.limits.clip : about.value?.limits.upload;
    if (limit && file.size > limit) complain(new Problem(W.drop.tooLarge(file.name, file.size, limit)));
    else if (clip) void addClip(file);
    else if (file.type.startsWith("image/") || PHOTO.test(file.name)) photos.push(file);
    else complain(new Problem(W.drop.rejected(file.name)));
  }
  if (photos.length) addPhotos(photos);
  if (!any) complain(new Problem(W.drop.nothing));
}

const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;

function onPaste(event: ClipboardEvent): void {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  take(files.map((f) => (f.name === "image.png" ? new File([f], `${W.drop.pasted(++pasted)}.png`, { type: f.type }) : f)));
}

export function Drop() {
  const field = useRef<HTMLInputElement>(null);
  const camera = useRef<HTMLButtonElement>(null);
  const before = useRef(live.value);
  const over = useSignal(false);
  useEffect(() => {
    const drag = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      over.value = true;
    };
    const leave = (event: DragEvent) => {
      if (!event.relatedTarget) over.value = false;
    };
    const drop = (event: DragEvent) => {
      over.value = false;
      if (!carriesFiles(event)) return;
      event.preventDefault();
      take(event.dataTransfer?.files ?? []);
    };
    addEventListener("dragover", drag);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    addEventListener("paste", onPaste);
    return () => {
      removeEventListener("dragover", drag);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
      removeEventListener("paste", onPaste);
    };
  }, []);
  useEffect(() => {
    if (live.value === "off" && before.current !== "off") camera.current?.focus(); // its own buttons are gone
    before.current = live.value;
  }, [live.value]);
  return (
    <section class={`drop ${over.value ? "over" : ""}`} aria-labelledby="drop-title">
      <h2 id="drop-title" class="hidden">
        {W.drop.title}
      </h2>
      <p>{over.value ? W.drop.over : W.drop.lead}</p>
      <p class="actions">
        <button type="button" class="main" onClick={() => field.current?.click()}>
          {W.drop.choose}
        </button>
        <button ref={camera} type="button" disabled={live.value !== "off"} onClick={() => (live.value = "notice")}>
          {W.drop.camera}
        </button>
      </p>
      <input
        ref={field}
        type="file"
        multiple
        hidden
        accept="image/*,video/*,.heic,.heif,.mkv,.tif,.tiff"
        aria-label={W.drop.label}
        onChange={(event) => {
          take([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
      <ClipChoices />
    </section>
  );
}

function ClipChoices() {
  const { annotate, detectEvery } = options.value;
  return (
    <details>
      <summary>{W.drop.options}</summary>
      <div class="controls">
        <label>
          {W.drop.every}
          <select
            value={detectEvery}
            onChange={(e) => (options.value = { annotate, detectEvery: Number(e.currentTarget.value) })}
          >
            {Object.entries(W.drop.everyChoices).map(([n, words]) => (
              <option key={n} value={n}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={annotate}
            onChange={(e) => (options.value = { annotate: e.currentTarget.checked, detectEvery })}
          />
          {W.drop.annotate}
        </label>
      </div>
    </details>
  );
}
