// Small pictures of faces: cut out of a photo, or of a clip by a second player that nobody sees.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Face } from "./records";

const SIDE = 96; // pixels
const WAIT = 4000; // milliseconds for one frame

export interface Wish {
  key: string;
  time: number;
  box: Face["box"];
}

/** Pictures by key, as they come. */
export function useThumbs(url: string | null, wishes: readonly Wish[]): Record<string, string> {
  const made = useSignal<Record<string, string>>({});
  const keys = wishes.map((w) => w.key).join(" ");
  useEffect(() => {
    if (!url || !wishes.length) return;
    let over = false;
    const video = document.createElement("video");
    video.muted = true;
    video.preload = "auto";
    video.src = url;
    void (async () => {
      if (!(await event(video, "loadeddata"))) return;
      for (const wish of wishes) {
        if (over) return;
        if (made.value[wish.key]) continue;
        video.currentTime = wish.time + 0.001;
        if (!(await event(video, "seeked")) || over) continue;
        made.value = { ...made.value, [wish.key]: cut(video, [video.videoWidth, video.videoHeight], wish.box) };
      }
    })().finally(() => video.removeAttribute("src"));
    return () => {
      over = true;
    };
  }, [url, keys]);
  return made.value;
}

function event(video: HTMLVideoElement, name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), WAIT);
    const end = (ok: boolean) => () => {
      clearTimeout(timer);
      resolve(ok);
    };
    video.addEventListener(name, end(true), { once: true });
    video.addEventListener("error", end(false), { once: true });
  });
}

/** A square around the face, with a little of what is beside it; `size` is that of the source in pixels. */
export function cut(source: CanvasImageSource, size: [number, number], [x, y, w, h]: Face["box"]): string {
  const side = Math.min(1.2 * Math.max(w, h), ...size);
  const left = Math.min(Math.max(0, x + w / 2 - side / 2), size[0] - side);
  const top = Math.min(Math.max(0, y + h / 2 - side / 2), size[1] - side);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  canvas.getContext("2d")?.drawImage(source, left, top, side, side, 0, 0, SIDE, SIDE);
  return canvas.toDataURL("image/jpeg", 0.85);
}
