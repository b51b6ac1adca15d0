// From five landmarks to the one geometry of a face, as src/mien/faces/align.py has it.

import { affine, FILTERS, grayMeans, type Matrix, type Picture, resize, round } from "./resample";

export type Point = [number, number];

const MARGIN = 3; // pixels that the filters look past the edge
const GAP = 2; // times as fine as the crop: so far large faces are reduced by plain means of squares

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
  let [patch, move] = visiblePart(picture, matrix, side, GAP);
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

/**
 * The part of a picture that a result of `side` pixels shows, gray, and the transform from there: reduced by a whole
 * number, if it stays at least `gap` times as fine as the result. Past the edge of the picture its outermost pixels repeat.
 */
export function visiblePart(picture: Picture, matrix: Matrix, side: number, gap: number): [Picture, Matrix] {
  const factor = Math.max(1, Math.floor(1 / scaleOf(matrix) / gap));
  const [low, high] = visible(matrix, side);
  const from = low.map((v) => Math.floor(v / factor)) as Point;
  const to = high.map((v) => Math.ceil(v / factor)) as Point;
  const ends = [picture.width, picture.height].map((length) => Math.ceil(length / factor)) as Point;
  const first = from.map((v, k) => Math.min(Math.max(v, 0), (ends[k] as number) - 1)) as Point; // inside of the picture
  const last = to.map((v, k) => Math.min(Math.max(v, (first[k] as number) + 1), ends[k] as number)) as Point;
  const times = (p: Point) => p.map((v) => v * factor) as Point;
  const seen = grayMeans(cut(picture, times(first), times(last)), factor);
  const less = (p: Point) => p.map((v, k) => v - (first[k] as number)) as Point;
  const [a, b, d, e] = [matrix[0], matrix[1], matrix[3], matrix[4]].map((v) => v * factor) as [number, number, number, number];
  const move: Matrix = [a, b, matrix[2] + a * from[0] + b * from[1], d, e, matrix[5] + d * from[0] + e * from[1]];
  return [cut(seen, less(from), less(to)), move];
}

/** The corners, with a margin, of what a result of `side` pixels shows of the picture. */
function visible(matrix: Matrix, side: number): [Point, Point] {
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
