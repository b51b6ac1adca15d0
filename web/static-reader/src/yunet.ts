// YuNet: one forward pass and the decoding of its outputs, as src/mien/faces/yunet.py has it.

import * as ort from "onnxruntime-web/wasm";
import type { Point } from "./geometry";
import type { Picture } from "./resample";

/** A possible face, in pixels of the picture that it was found in. */
export interface Find {
  box: [number, number, number, number]; // x, y, width, height
  landmarks: Point[];
  score: number;
}

const STRIDES = [8, 16, 32];
const MULTIPLE = 32; // the sides that the network takes are multiples of its largest stride
const OVERLAP = 0.3; // two boxes that share more than this of their union are one face

const f = Math.fround; // the network's numbers are float32, and so is what is reckoned with them

export type Look = (picture: Picture, threshold: number) => Promise<Find[]>;

/** A look at a picture: the possible faces that score `threshold` or more, best first, none twice. */
export function looker(session: ort.InferenceSession): Look {
  return async (picture, threshold) => {
    const input = padded(picture);
    const outputs = await session.run({ input });
    const columns = input.dims[3] as number;
    return suppress(STRIDES.flatMap((stride) => decoded(outputs, stride, columns / stride, threshold)));
  };
}

/** RGB to the network's BGR 0..255, black at the right and bottom up to multiples of 32. */
function padded({ data, width, height }: Picture): ort.Tensor {
  const [w, h] = [width, height].map((v) => Math.ceil(v / MULTIPLE) * MULTIPLE) as Point;
  const grid = new Float32Array(3 * w * h);
  for (let c = 0; c < 3; c += 1)
    for (let y = 0; y < height; y += 1)
      for (let x = 0; x < width; x += 1) grid[(c * h + y) * w + x] = data[3 * (y * width + x) + 2 - c] as number;
  return new ort.Tensor("float32", grid, [1, 3, h, w]);
}

function decoded(outputs: ort.InferenceSession.OnnxValueMapType, stride: number, columns: number, threshold: number): Find[] {
  const part = (name: string) => outputs[`${name}_${stride}`]?.data as Float32Array;
  const [sure, there, boxes, points] = [part("cls"), part("obj"), part("bbox"), part("kps")];
  const unit = (v: number) => Math.min(1, Math.max(0, v));
  const finds: Find[] = [];
  sure.forEach((value, cell) => {
    const score = f(Math.sqrt(f(unit(value) * unit(there[cell] as number))));
    if (score < f(threshold)) return;
    const corner = [cell % columns, Math.floor(cell / columns)] as const;
    const at = (k: number) => boxes[4 * cell + k] as number;
    const centre = ([0, 1] as const).map((k) => f(f(corner[k] + at(k)) * stride)) as Point;
    const size = ([0, 1] as const).map((k) => f(f(Math.exp(at(2 + k))) * stride)) as Point;
    const landmarks = [0, 1, 2, 3, 4].map(
      (i) => ([0, 1] as const).map((k) => f(f((points[10 * cell + 2 * i + k] as number) + corner[k]) * stride)) as Point,
    );
    finds.push({ box: [f(centre[0] - size[0] / 2), f(centre[1] - size[1] / 2), ...size], landmarks, score });
  });
  return finds;
}

/** Greedy suppression: the best of those that share more than OVERLAP of their union stays. */
export function suppress(finds: readonly Find[]): Find[] {
  let left = [...finds].sort((a, b) => b.score - a.score);
  const kept: Find[] = [];
  for (let best = left[0]; best; best = left[0]) {
    kept.push(best);
    const chosen = best.box;
    left = left.slice(1).filter(({ box }) => {
      const across = Math.min(chosen[0] + chosen[2], box[0] + box[2]) - Math.max(chosen[0], box[0]);
      const down = Math.min(chosen[1] + chosen[3], box[1] + box[3]) - Math.max(chosen[1], box[1]);
      const shared = Math.max(0, across) * Math.max(0, down);
      return shared <= OVERLAP * (chosen[2] * chosen[3] + box[2] * box[3] - shared);
    });
  }
  return kept;
}
