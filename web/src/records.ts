// What the server sends: docs/server.md says more of each.

import type { Emotion } from "./emotions";

export type Shares = Record<Emotion, number>; // the eight probabilities; they sum to 1

export interface Face {
  face: number;
  box: [number, number, number, number]; // x, y, width, height in pixels of the picture
  landmarks?: [number, number][];
  score: number;
  emotion: Emotion | null;
  confidence: number | null;
  probabilities: Shares | null;
  set: Emotion[] | null; // what it may be, likeliest first
  uncertain: boolean | null;
  track?: number | null;
  smoothed?: Shares | null;
  yaw?: number | null; // degrees by which the nose points to the picture's left,
  pitch?: number | null; // and down,
  roll?: number | null; // and the head leans clockwise
  quality?: number | null; // how well it can be read, 0 to 1
  units?: Record<string, number>; // the movements of the face network, 0 to 1
}

export interface Trouble {
  title: string;
  status?: number;
  detail?: string;
}

export interface Photo {
  name: string;
  width: number;
  height: number;
  notes: string[];
  error: Trouble | null;
  faces: Face[];
}

export interface LiveFrame {
  index: number;
  time: number;
  faces: Face[];
  width?: number;
  height?: number;
}

export type JobState = "queued" | "running" | "done" | "failed" | "cancelled";

export interface Job {
  id: string;
  name: string;
  state: JobState;
  progress: number | null; // 0 to 1; null where the clip does not say how long it is
  frames: number | null;
  faces: number | null;
  created: string | number | null;
  finished: string | number | null;
  error: Trouble | string | null;
  notes: string[];
  results: Record<string, string>; // name of a file -> where it is
}

/** A row of Mien's table: a face in a frame, or a frame without one. */
export interface Row extends Partial<Shares> {
  frame: number;
  time: number | null;
  face: number | null;
  track: number | null;
  success: number;
  x: number;
  y: number;
  width: number;
  height: number;
  score: number;
  emotion: Emotion | null;
  confidence: number | null;
  set: Emotion[] | string | null;
  uncertain: number | boolean | null;
  [smoothed: `smoothed_${string}`]: number | null;
}

export interface EventRow {
  track: number;
  emotion: Emotion;
  onset: number; // seconds, as the others
  apex: number;
  offset: number;
  duration: number;
  peak: number;
  mean: number;
  frames: number;
  cut: "start" | "end" | "both" | null;
}
