// Pillow's ways to make a picture smaller and to turn it, to the last bit: the network was taught through these.
// Source: Pillow 12, src/libImaging: Resample.c, Reduce.c, Geometry.c, Convert.c.

/** Rows of pixels, `channels` bytes each. */
export interface Picture {
  data: Uint8Array;
  width: number;
  height: number;
  channels: 1 | 3;
}

export type Matrix = [number, number, number, number, number, number]; // x' = 0 x + 1 y + 2, y' = 3 x + 4 y + 5

type Filter = { support: number; weight: (x: number) => number };

const BITS = 22; // of the weights' fraction

const bilinear: Filter = { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };
const bicubic: Filter = {
  support: 2,
  weight: (signed) => {
    const x = Math.abs(signed);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((x - 5) * x + 8) * x * -0.5 + 2 : 0;
  },
};
export const FILTERS = { bilinear, bicubic };

/** Where each pixel of a row of `to` looks in one of `from` pixels, of which `seen` count, and how much of each it takes. */
function weights(from: number, to: number, seen: number, { support, weight }: Filter): [number, Int32Array][] {
  const scale = seen / to;
  const wide = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support * wide + 0.5));
    const end = Math.min(from, Math.trunc(centre + support * wide + 0.5));
    const all: number[] = [];
    for (let x = first; x < end; x += 1) all.push(weight((x - centre + 0.5) * (1 / wide)));
    const sum = all.reduce((a, b) => a + b, 0);
    return [first, Int32Array.from(all, (w) => Math.trunc((w / sum) * 2 ** BITS + (w < 0 ? -0.5 : 0.5)))];
  });
}

const clip = (v: number) => (v < 0 ? 0 : v > 255 ? 255 : v);

/** `lines` lines of a picture resampled along one axis; a step along it is `step` bytes, to the next line `skip`. */
function pass(
  source: Uint8Array,
  target: Uint8Array,
  table: [number, Int32Array][],
  { lines, channels, step, skip, targetStep, targetSkip }: Record<"lines" | "channels" | "step" | "skip" | "targetStep" | "targetSkip", number>,
): void {
  for (let line = 0; line < lines; line += 1) {
    table.forEach(([first, shares], i) => {
      for (let c = 0; c < channels; c += 1) {
        let sum = 1 << (BITS - 1);
        let at = line * skip + first * step + c;
        for (let k = 0; k < shares.length; k += 1, at += step) sum += (source[at] as number) * (shares[k] as number);
        target[line * targetSkip + i * targetStep + c] = clip(sum >> BITS);
      }
    });
  }
}

/** `Image.resize(size, filter, reducing_gap=gap)`. */
export function resize(picture: Picture, width: number, height: number, filter: Filter, gap: number): Picture {
  const across = Math.trunc(picture.width / width / gap) || 1;
  const down = Math.trunc(picture.height / height / gap) || 1;
  const seen = [picture.width / across, picture.height / down] as const;
  const { channels, ...small } = across > 1 || down > 1 ? reduce(picture, across, down) : picture;
  let { data } = small;
  if (width !== small.width || seen[0] !== width) {
    const next = new Uint8Array(width * small.height * channels);
    const table = weights(small.width, width, seen[0], filter);
    pass(data, next, table, {
      lines: small.height, channels, step: channels, skip: small.width * channels, targetStep: channels, targetSkip: width * channels,
    });
    data = next;
  }
  if (height !== small.height || seen[1] !== height) {
    const next = new Uint8Array(width * height * channels);
    const table = weights(small.height, height, seen[1], filter);
    const row = width * channels; // a line is a column here: bytes side by side, one channel at a time
    pass(data, next, table, { lines: row, channels: 1, step: row, skip: 1, targetStep: row, targetSkip: 1 });
    data = next;
  }
  return { data, width, height, channels };
}

/** `Image.reduce`: the means of blocks. */
export function reduce({ data, width, height, channels }: Picture, across: number, down: number): Picture {
  const wide = Math.ceil(width / across);
  const high = Math.ceil(height / down);
  const small = new Uint8Array(wide * high * channels);
  for (let y = 0; y < high; y += 1) {
    const bottom = Math.min(height, (y + 1) * down);
    for (let x = 0; x < wide; x += 1) {
      const right = Math.min(width, (x + 1) * across);
      const count = (bottom - y * down) * (right - x * across);
      const factor = Math.floor(2 ** 24 / count);
      for (let c = 0; c < channels; c += 1) {
        let sum = 0;
        for (let j = y * down; j < bottom; j += 1)
          for (let i = x * across; i < right; i += 1) sum += data[(j * width + i) * channels + c] as number;
        small[(y * wide + x) * channels + c] = Math.floor(((sum + (count >> 1)) * factor) / 2 ** 24);
      }
    }
  }
  return { data: small, width: wide, height: high, channels };
}

const within = (v: number, size: number) => (v < 0 ? 0 : v < size ? v : size - 1);

/** `Image.transform((side, side), AFFINE, back, filter)`: each pixel looks back where it comes from; black past the edge. */
export function affine(picture: Picture, back: Matrix, side: number, filter: Filter): Picture {
  const { width, height, channels } = picture;
  const data = new Uint8Array(side * side * channels);
  const look = filter === bicubic ? lookCubic : lookLinear;
  for (let j = 0; j < side; j += 1) {
    for (let i = 0; i < side; i += 1) {
      const x = back[0] * (i + 0.5) + back[1] * (j + 0.5) + back[2];
      const y = back[3] * (i + 0.5) + back[4] * (j + 0.5) + back[5];
      if (!(x >= 0 && x < width && y >= 0 && y < height)) continue;
      for (let c = 0; c < channels; c += 1) data[(j * side + i) * channels + c] = look(picture, x - 0.5, y - 0.5, c);
    }
  }
  return { data, width: side, height: side, channels };
}

function lookLinear({ data, width, height, channels }: Picture, x: number, y: number, c: number): number {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const a = within(left, width) * channels + c;
  const b = within(left + 1, width) * channels + c;
  const row = (r: number) => {
    const start = r * width * channels;
    const first = data[start + a] as number;
    return first + ((data[start + b] as number) - first) * (x - left);
  };
  const upper = row(within(top, height));
  const lower = top + 1 < height ? row(top + 1) : upper;
  return Math.trunc(upper + (lower - upper) * (y - top));
}

/** A cubic through four points at `d` between the middle two. */
function cubic(a: number, b: number, c: number, d4: number, d: number): number {
  return b + d * (c - a + d * (2 * (a - b) + c - d4 + d * (-a + b - c + d4)));
}

function lookCubic({ data, width, height, channels }: Picture, x: number, y: number, c: number): number {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const columns = [-1, 0, 1, 2].map((i) => within(left + i, width) * channels + c) as [number, number, number, number];
  const row = (r: number) => {
    const [p, q, s, t] = columns.map((column) => data[r * width * channels + column]) as [number, number, number, number];
    return cubic(p, q, s, t, x - left);
  };
  const v1 = row(within(top - 1, height));
  const v2 = top >= 0 ? row(top) : v1;
  const v3 = top + 1 < height ? row(top + 1) : v2;
  const v4 = top + 2 < height ? row(top + 2) : v3;
  return Math.trunc(clip(cubic(v1, v2, v3, v4, y - top)));
}

/** Gray levels: ITU-R BT.601 luma, the means of blocks of `factor` by `factor` pixels, whose multiple its sides are. */
export function grayMeans({ data, width, height }: Picture, factor: number): Picture {
  const [wide, high] = [width / factor, height / factor];
  const sums = new Float64Array(wide * high);
  for (let y = 0; y < height; y += 1) {
    const row = Math.floor(y / factor) * wide;
    for (let x = 0; x < width; x += 1) {
      const i = 3 * (y * width + x);
      sums[row + Math.floor(x / factor)]! +=
        (data[i] as number) * 19595 + (data[i + 1] as number) * 38470 + (data[i + 2] as number) * 7471;
    }
  }
  const whole = 2 ** 16 * factor ** 2;
  return { data: Uint8Array.from(sums, (sum) => Math.floor((sum + whole / 2) / whole)), width: wide, height: high, channels: 1 };
}

/** Python's `round`: halves go to the even neighbour. */
export function round(v: number): number {
  const low = Math.floor(v);
  const rest = v - low;
  return rest === 0.5 ? low + (low & 1) : rest < 0.5 ? low : low + 1;
}
