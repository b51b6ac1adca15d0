// From five landmarks to the one geometry of a face, as src/mien/faces/align.py has it.

import { affine, FILTERS, gray, type Matrix, type Picture, resize, round } from "./resample";

export type Point = [number, number];

const MARGIN = 3; // pixels that the filters look past the edge

export const scaleOf = (m: Matrix): number => Math.hypot(m[0], m[3]);
export const applied = (m: Matrix, [x, y]: Point): Point => [m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]];

/** The rotation, uniform scale and shift that take `points` nearest to `target` in least squares (Umeyama, 1991). */
export function similarity(points: readonly Point[], target: readonly Point[]): Matrix {
  const mean = (all: readonly Point[], k: 0 | 1) => all.reduce((sum, p) => sum + p[k], 0) / all.length;
  const [px, py, qx, qy] = [mean(points, 0), mean(points, 1), mean(target, 0), mean(target, 1)];
  let spread = 0;
  let a = 0;
  let b = 0;
  points.forEach((point, i) => {
    const [x, y] = [point[0] - px, point[1] - py];
    const goal = target[i] as Point;
    const [u, v] = [goal[0] - qx, goal[1] - qy];
    spread += x * x + y * y;
    a += x * u + y * v;
    b += x * v - y * u;
  });
  a /= spread;
  b /= spread;
  return [a, -b, qx - (a * px - b * py), b, a, qy - (b * px + a * py)];
}

export function inverted([a, b, c, d, e, f]: Matrix): Matrix {
  const size = a * e - b * d;
  const [p, q, r, s] = [e / size, -b / size, -d / size, a / size];
  return [p, q, -(p * c + q * f), r, s, -(r * c + s * f)];
}

/** The face as the network wants it, `side` pixels wide, gray. */
export function crop(picture: Picture, landmarks: readonly Point[], template: readonly Point[], side: number): Picture {
  const matrix = similarity(landmarks, template.map(([x, y]): Point => [x * side, y * side]));
  const [low, high] = visible(matrix, side);
  const [x, y] = applied(matrix, low);
  let patch = gray(cut(picture, low, high));
  let move: Matrix = [matrix[0], matrix[1], x, matrix[3], matrix[4], y];
  const scale = scaleOf(move);
  if (scale < 1) {
    const width = Math.max(1, round(patch.width * scale));
    const height = Math.max(1, round(patch.height * scale));
    const [across, down] = [width / patch.width, height / patch.height];
    patch = resize(patch, width, height, FILTERS.bicubic, 3);
    move = [move[0] / across, move[1] / down, move[2], move[3] / across, move[4] / down, move[5]];
  }
  return affine(patch, inverted(move), side, FILTERS.bicubic);
}

/** The corners, with a margin, of what a result of `side` pixels shows of the picture. */
export function visible(matrix: Matrix, side: number): [Point, Point] {
  const back = inverted(matrix);
  const corners = ([[0, 0], [side, 0], [0, side], [side, side]] as Point[]).map((p) => applied(back, p));
  const margin = MARGIN * Math.max(1, scaleOf(back));
  const low = ([0, 1] as const).map((k) => Math.floor(Math.min(...corners.map((p) => p[k])) - margin)) as Point;
  const high = ([0, 1] as const).map((k) => Math.ceil(Math.max(...corners.map((p) => p[k])) + margin)) as Point;
  return [low, high];
}

/** The pixels of a box; past the edge the outermost repeat. */
export function cut({ data, width, height, channels }: Picture, [left, top]: Point, [right, bottom]: Point): Picture {
  const wide = right - left;
  const high = bottom - top;
  const part = new Uint8Array(wide * high * channels);
  for (let y = 0; y < high; y += 1) {
    const row = Math.min(height - 1, Math.max(0, top + y)) * width;
    for (let x = 0; x < wide; x += 1) {
      const from = (row + Math.min(width - 1, Math.max(0, left + x))) * channels;
      for (let c = 0; c < channels; c += 1) part[(y * wide + x) * channels + c] = data[from + c] as number;
    }
  }
  return { data: part, width: wide, height: high, channels };
}
