// The rows of a clip as frames to look up by time, and as tracks to draw.

import { EMOTIONS, type Emotion } from "./emotions";
import type { EventRow, Face, Row, Shares } from "./records";

const STEPS = 300; // of a band

export interface Moment {
  time: number;
  faces: Face[];
}

export interface Track {
  number: number;
  steps: (Shares | null)[]; // mean over each step of time; null: not in sight
  mean: Shares;
  most: Emotion;
  seconds: number; // in sight
  best: { time: number; box: Face["box"] }; // where its reading is surest
  events: EventRow[];
}

export interface Story {
  moments: Moment[]; // by time
  tracks: Track[]; // longest in sight first
  events: EventRow[]; // by time
  start: number; // seconds
  end: number;
}

const shares = (row: Row, prefix: "" | "smoothed_"): Shares | null =>
  row[`${prefix}neutral` as "neutral"] == null
    ? null
    : (Object.fromEntries(EMOTIONS.map((e) => [e, row[`${prefix}${e}` as "neutral"]])) as Shares);

function faceOf(row: Row): Face {
  const set = typeof row.set === "string" ? row.set.split(" ").filter(Boolean) : row.set;
  return {
    face: row.face ?? 0,
    box: [row.x, row.y, row.width, row.height],
    score: row.score,
    emotion: row.emotion,
    confidence: row.confidence,
    probabilities: shares(row, ""),
    smoothed: shares(row, "smoothed_"),
    set: set as Emotion[] | null,
    uncertain: row.uncertain == null ? null : Boolean(row.uncertain),
    track: row.track,
  };
}

function momentsOf(rows: readonly Row[]): Moment[] {
  const byFrame = new Map<number, Moment>();
  for (const row of rows) {
    let moment = byFrame.get(row.frame);
    if (!moment) byFrame.set(row.frame, (moment = { time: row.time ?? 0, faces: [] }));
    if (row.success) moment.faces.push(faceOf(row));
  }
  return [...byFrame.values()].sort((a, b) => a.time - b.time);
}

export function storyOf(rows: readonly Row[], events: readonly EventRow[]): Story {
  const moments = momentsOf(rows);
  const first = moments[0]?.time ?? 0;
  const last = moments[moments.length - 1]?.time ?? 0;
  const step = moments.length > 1 ? (last - first) / (moments.length - 1) : 0;
  const end = last + step; // the last frame is seen for a while too
  const sorted = [...events].sort((a, b) => a.onset - b.onset);
  const numbers = new Set(moments.flatMap((m) => m.faces.flatMap((f) => (f.track == null ? [] : [f.track]))));
  const tracks = [...numbers].map((n) => trackOf(n, moments, sorted, { start: first, end, step }));
  return { moments, tracks: tracks.sort((a, b) => b.seconds - a.seconds), events: sorted, start: first, end };
}

function trackOf(
  number: number,
  moments: readonly Moment[],
  events: readonly EventRow[],
  { start, end, step }: { start: number; end: number; step: number },
): Track {
  const count = Math.max(1, Math.min(STEPS, moments.length));
  const sums = Array.from({ length: count }, () => ({ n: 0, shares: zero() }));
  const total = { n: 0, shares: zero() };
  let best: Track["best"] & { confidence: number } = { time: start, box: [0, 0, 0, 0], confidence: -1 };
  for (const { time, faces } of moments) {
    const face = faces.find((f) => f.track === number);
    if (!face) continue;
    const now = face.smoothed ?? face.probabilities;
    if (!now) continue;
    const at = Math.min(count - 1, Math.floor(((time - start + step / 2) / (end - start || 1)) * count));
    for (const sum of [sums[at] as (typeof sums)[0], total]) {
      sum.n += 1;
      for (const e of EMOTIONS) sum.shares[e] += now[e];
    }
    const confidence = face.confidence ?? 0;
    if (confidence > best.confidence) best = { time, box: face.box, confidence };
  }
  const steps = bridged(sums.map(({ n, shares: s }) => (n ? divided(s, n) : null)));
  const mean = divided(total.shares, total.n || 1);
  const most = EMOTIONS.reduce((a, b) => (mean[b] > mean[a] ? b : a));
  const own = events.filter((event) => event.track === number);
  return { number, steps, mean, most, seconds: total.n * step, best, events: own };
}

const zero = (): Shares => Object.fromEntries(EMOTIONS.map((e) => [e, 0])) as Shares;
const divided = (s: Shares, n: number): Shares =>
  Object.fromEntries(EMOTIONS.map((e) => [e, s[e] / n])) as Shares;

/** A single empty step between two seen ones is rounding, not absence. */
const bridged = (steps: (Shares | null)[]): (Shares | null)[] =>
  steps.map((s, i) => s ?? (steps[i - 1] && steps[i + 1] ? (steps[i - 1] as Shares) : null));

/** The frame that shows at `time`: the last that has begun. */
export const at = (moments: readonly Moment[], time: number): Moment | null => moments[indexAt(moments, time)] ?? null;

/** When the frame begins that is `steps` after the one that shows at `time`; the first or last at the ends. */
export function beside(moments: readonly Moment[], time: number, steps: number): number {
  const index = Math.min(moments.length - 1, Math.max(0, indexAt(moments, time) + steps));
  return moments[index]?.time ?? 0;
}

function indexAt(moments: readonly Moment[], time: number): number {
  let low = 0;
  let high = moments.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((moments[middle] as Moment).time <= time + 0.002) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** One outline an emotion, the highest first: each covers what lies below the one before it. */
export function outlines(steps: readonly (Shares | null)[]): { emotion: Emotion; path: string }[] {
  const result: { emotion: Emotion; path: string }[] = [];
  const tops = steps.map(() => 0);
  for (const emotion of EMOTIONS) {
    let path = "";
    steps.forEach((step, i) => {
      if (!step) return;
      tops[i] = (tops[i] as number) + step[emotion];
      const y = (100 * (1 - Math.min(1, tops[i] as number))).toFixed(1);
      path += steps[i - 1] ? `V${y}H${i + 1}` : `M${i} 100V${y}H${i + 1}`;
      if (!steps[i + 1]) path += "V100z";
    });
    result.unshift({ emotion, path });
  }
  return result;
}

/** The row of each expression among the events, in the order of EMOTIONS. */
export function lanesOf(events: readonly EventRow[]): Map<Emotion, number> {
  const present = new Set(events.map((event) => event.emotion));
  return new Map(EMOTIONS.filter((e) => present.has(e)).map((e, i) => [e, i]));
}
