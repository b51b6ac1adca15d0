// The photos on the page: read two at a time, kept in this tab only.

import { computed, signal } from "@preact/signals";
import { Problem, readPhoto } from "./api";
import type { Emotion } from "./emotions";
import { shown } from "./face";
import type { Photo } from "./records";
import { say } from "./say";
import { W } from "./words";

const AT_ONCE = 2;
const THUMB = 480; // pixels, of the longer side of a picture in the grid

export interface Entry {
  id: number;
  file: File;
  url: string; // the picture itself, for the browser
  thumb: string | null; // a small copy, for the grid; null: not made, or the browser cannot show it
  state: "waiting" | "reading" | "read" | "failed";
  photo: Photo | null;
  problem: Problem | null;
}

export const entries = signal<Entry[]>([]);
export const done = computed(() => entries.value.filter((e) => e.state === "read" || e.state === "failed").length);
export const read = computed(() =>
  entries.value.flatMap(({ state, file, photo }) => (photo && state === "read" ? [{ file, photo }] : [])),
);

let count = 0;
let running = 0;

export function addPhotos(files: readonly File[]): void {
  const added = files.map(
    (file): Entry => ({
      id: ++count,
      file,
      url: URL.createObjectURL(file),
      thumb: null,
      state: "waiting",
      photo: null,
      problem: null,
    }),
  );
  entries.value = [...entries.value, ...added];
  pump();
}

export function retry(id: number): void {
  change(id, { state: "waiting", problem: null });
  pump();
}

export function removePhoto(id: number): void {
  const gone = entries.value.find((e) => e.id === id);
  if (gone) release(gone);
  entries.value = entries.value.filter((e) => e.id !== id);
}

export function clearPhotos(): void {
  entries.value.forEach(release);
  entries.value = [];
}

function release(entry: Entry): void {
  URL.revokeObjectURL(entry.url);
  if (entry.thumb) URL.revokeObjectURL(entry.thumb);
}

function change(id: number, to: Partial<Entry>): void {
  entries.value = entries.value.map((e) => (e.id === id ? { ...e, ...to } : e));
}

function pump(): void {
  while (running < AT_ONCE) {
    const next = entries.value.find((e) => e.state === "waiting");
    if (!next) return;
    running += 1;
    change(next.id, { state: "reading" });
    void work(next).finally(() => {
      running -= 1;
      tell();
      pump();
    });
  }
}

async function work({ id, file }: Entry): Promise<void> {
  try {
    const photo = await readPhoto(file);
    if (photo.error) {
      change(id, { state: "failed", problem: Problem.of(photo.error) });
      return;
    }
    change(id, { state: "read", photo, thumb: await small(file) });
  } catch (error) {
    change(id, { state: "failed", problem: Problem.from(error) });
  }
}

function tell(): void {
  const all = entries.value.length;
  if (!all) return;
  const faces = read.value.reduce((n, { photo }) => n + photo.faces.length, 0);
  say(done.value < all ? W.photos.progress(done.value, all) : W.photos.done(read.value.length, faces, all - read.value.length));
}

/** A small copy of the picture, upright, so that a grid of hundreds stays light. */
async function small(file: File): Promise<string | null> {
  try {
    const whole = await createImageBitmap(file);
    const scale = Math.min(1, THUMB / Math.max(whole.width, whole.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(whole.width * scale));
    canvas.height = Math.max(1, Math.round(whole.height * scale));
    canvas.getContext("2d")?.drawImage(whole, 0, 0, canvas.width, canvas.height);
    whole.close();
    const blob = await new Promise<Blob | null>((take) => canvas.toBlob(take, "image/jpeg", 0.85));
    return blob && URL.createObjectURL(blob);
  } catch {
    return null; // HEIC, TIFF: the server reads them, the browser may not
  }
}

export type Sort = "added" | "name" | "faces" | "unsure" | Emotion;
export type Filter = "all" | "unsure" | "none" | "failed" | Emotion;

const strongest = (entry: Entry, emotion: Emotion): number =>
  Math.max(-1, ...(entry.photo?.faces ?? []).map((face) => face.probabilities?.[emotion] ?? -1));

const unsure = (entry: Entry): number => (entry.photo?.faces ?? []).filter((face) => face.uncertain).length;

export function arrange(all: readonly Entry[], filter: Filter, sort: Sort): Entry[] {
  return all.filter((entry) => passes(entry, filter)).sort(order(sort));
}

function passes(entry: Entry, filter: Filter): boolean {
  if (filter === "all") return true;
  if (filter === "failed") return entry.state === "failed";
  if (!entry.photo) return false;
  if (filter === "none") return entry.photo.faces.length === 0;
  if (filter === "unsure") return unsure(entry) > 0;
  return entry.photo.faces.some((face) => shown(face)?.emotion === filter);
}

function order(sort: Sort): (a: Entry, b: Entry) => number {
  if (sort === "added") return (a, b) => a.id - b.id;
  if (sort === "name") return (a, b) => a.file.name.localeCompare(b.file.name, "en", { numeric: true });
  if (sort === "faces") return (a, b) => (b.photo?.faces.length ?? -1) - (a.photo?.faces.length ?? -1);
  if (sort === "unsure") return (a, b) => unsure(b) - unsure(a);
  return (a, b) => strongest(b, sort) - strongest(a, sort);
}
