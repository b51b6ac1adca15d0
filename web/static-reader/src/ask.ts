// The reader in its worker, as a function; and pictures as pixels.

import type { Face } from "../../src/records";
import type { Ask } from "./worker";

export interface Reading {
  faces: Face[];
  width: number;
  height: number;
  milliseconds: number; // of the reading alone
}

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
let count = 0;

/** The faces of RGBA pixels. */
export function ask({ data, width, height }: ImageData): Promise<Reading> {
  const id = ++count;
  return new Promise((resolve, reject) => {
    const hear = ({ data: said }: MessageEvent<{ id: number; faces: Face[]; milliseconds: number; error?: string }>) => {
      if (said.id !== id) return;
      worker.removeEventListener("message", hear);
      if (said.error) reject(new Error(said.error));
      else resolve({ faces: said.faces, width, height, milliseconds: said.milliseconds });
    };
    worker.addEventListener("message", hear);
    worker.postMessage({ id, base: document.baseURI, rgba: data, width, height } satisfies Ask, [data.buffer]);
  });
}

/** Pixels of what can be drawn, upright, its colours as they are in the file. */
export function pixels(source: CanvasImageSource, width: number, height: number): ImageData {
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true }) as OffscreenCanvasRenderingContext2D;
  pen.drawImage(source, 0, 0, width, height);
  return pen.getImageData(0, 0, width, height);
}

export async function readFile(file: Blob): Promise<Reading> {
  const whole = await createImageBitmap(file, { colorSpaceConversion: "none" });
  try {
    return await ask(pixels(whole, whole.width, whole.height));
  } finally {
    whole.close();
  }
}
