// Reads pictures beside the page, so that it stays quick.

import { loadReader } from "./reader";

export interface Ask {
  id: number;
  base: string; // where the networks lie
  rgba: Uint8ClampedArray;
  width: number;
  height: number;
}

let reader: ReturnType<typeof loadReader> | null = null;

addEventListener("message", async ({ data: { id, base, rgba, width, height } }: MessageEvent<Ask>) => {
  try {
    const data = new Uint8Array(3 * width * height);
    for (let i = 0; i < width * height; i += 1) data.set(rgba.subarray(4 * i, 4 * i + 3), 3 * i);
    reader ??= loadReader(base);
    const read = await reader;
    const start = performance.now();
    const faces = await read({ data, width, height, channels: 3 });
    postMessage({ id, faces, milliseconds: performance.now() - start });
  } catch (error) {
    reader = null;
    postMessage({ id, error: String(error) });
  }
});
