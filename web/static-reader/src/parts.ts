// The face network: is this a face, where are its parts, how is the head turned; as src/mien/faces/parts.py has it.

import * as ort from "onnxruntime-web/wasm";
import { applied, inverted, type Point, scaleOf, similarity, visiblePart } from "./geometry";
import { affine, FILTERS, type Matrix, type Picture } from "./resample";

/** What mien.units and mien.faces.align say of the network: `models.py` writes it beside the page. */
export interface Shape {
  outputs: Record<"presence" | "spread" | "landmarks" | "turn" | "units", number>;
  align: [number, number, number, number]; // pupils and corners of the mouth among the landmarks
  template: Point[]; // where these are in the crop
  units: string[];
}

/** What the network says of one face, in pixels of the picture. */
export interface Parts {
  presence: number;
  landmarks: Point[]; // five
  quality: number;
  yaw: number; // degrees
  pitch: number;
  roll: number;
  units: Record<string, number>;
}

export type LookAtFaces = (picture: Picture, faces: readonly Point[][]) => Promise<Parts[]>;

const SIDE = 96; // pixels of the crop
const QUALITY = [-0.964, 0.457, -2.212] as const; // of the logarithms of error and contrast, and a constant
const EYES = [30, 42, 28, 67] as const; // rows and columns of the crop
const MOUTH = [57, 74, 34, 61] as const;
const HIDDEN = 0.2; // the mouth is hidden where levels deviate less than this share of what they do about the eyes
const HIDDEN_QUALITY = 0.5;

export function faceLooker(session: ort.InferenceSession, shape: Shape): LookAtFaces {
  const goal = shape.template.map(([x, y]): Point => [x * SIDE, y * SIDE]);
  return async (picture, faces) => {
    if (!faces.length) return [];
    const matrices = faces.map((five) => similarity([0, 1, 3, 4].map((i) => five[i] as Point), goal));
    const crops = matrices.map((matrix) => cropGray(picture, matrix));
    const batch = Float32Array.from(crops.flatMap((one) => [...one]));
    const input = new ort.Tensor("float32", batch, [faces.length, 1, SIDE, SIDE]);
    const outputs = await session.run({ [session.inputNames[0] as string]: input });
    const answers = outputs[session.outputNames[0] as string]?.data as Float32Array;
    const width = answers.length / faces.length;
    return crops.map((crop, i) => told(answers.slice(i * width, (i + 1) * width), matrices[i] as Matrix, crop, shape));
  };
}

/** Gray levels of a picture through a similarity: reduced by a whole number, then turned. */
function cropGray(picture: Picture, matrix: Matrix): Uint8Array {
  const [patch, move] = visiblePart(picture, matrix, SIDE, 1);
  return affine(patch, inverted(move), SIDE, FILTERS.bilinear).data;
}

function told(answer: Float32Array, toCrop: Matrix, crop: Uint8Array, { outputs, align, units }: Shape): Parts {
  let end = 0;
  const part = (name: keyof Shape["outputs"]) => answer.slice(end, (end += outputs[name]));
  const [presence, spread, places, turn, movements] = [part("presence"), part("spread"), part("landmarks"), part("turn"), part("units")];
  const back = inverted(toCrop);
  const at = (i: number) => applied(back, [(places[2 * i] as number) * SIDE, (places[2 * i + 1] as number) * SIDE]).map(Math.fround) as Point;
  const [right, left, mouthRight, mouthLeft] = align.map(at) as [Point, Point, Point, Point];
  const [tip, bridge] = [at(2), at(1)];
  const nose: Point = [(2 * tip[0] + bridge[0]) / 3, (2 * tip[1] + bridge[1]) / 3];
  const error = Math.exp(Math.min(2, Math.max(-6, spread[0] as number)));
  const contrast = deviation(crop, [0, SIDE, 0, SIDE]);
  const hidden = Math.max(deviation(crop, MOUTH), 1) < HIDDEN * deviation(crop, EYES);
  const seen = sigmoid(QUALITY[0] * Math.log(error) + QUALITY[1] * Math.log(Math.max(contrast, 1)) + QUALITY[2]);
  const [yaw, pitch, roll] = headPose(turn, toCrop);
  return {
    presence: sigmoid(presence[0] as number),
    landmarks: [right, left, nose, mouthRight, mouthLeft],
    quality: hidden ? Math.min(seen, HIDDEN_QUALITY) : seen,
    yaw, pitch, roll,
    units: Object.fromEntries(units.map((name, i) => [name, Math.min(1, Math.max(0, movements[i] as number))])),
  };
}

const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));

/** The standard deviation of the levels in some rows and columns of a crop. */
function deviation(crop: Uint8Array, [top, bottom, left, right]: readonly [number, number, number, number]): number {
  const levels: number[] = [];
  for (let y = top; y < bottom; y += 1) levels.push(...crop.slice(y * SIDE + left, y * SIDE + right));
  const mean = levels.reduce((a, b) => a + b, 0) / levels.length;
  return Math.sqrt(levels.reduce((sum, v) => sum + (v - mean) ** 2, 0) / levels.length);
}

/** Two rows of the turn of the head in its crop to yaw, pitch and roll in the picture, degrees. */
function headPose(turn: Float32Array, toCrop: Matrix): [number, number, number] {
  type Row = [number, number, number];
  const dot = (p: Row, q: Row) => p[0] * q[0] + p[1] * q[1] + p[2] * q[2];
  const unit = (p: Row) => p.map((v) => v / Math.sqrt(dot(p, p))) as Row;
  const first = unit([...turn.slice(0, 3)] as Row);
  const rest = [...turn.slice(3, 6)] as Row;
  const across = dot(rest, first);
  const second = unit(rest.map((v, i) => v - across * (first[i] as number)) as Row);
  const scale = scaleOf(toCrop);
  const [p, q, r, s] = [toCrop[0], toCrop[1], toCrop[3], toCrop[4]].map((v) => v / scale) as [number, number, number, number];
  const [a, b, c] = first.map((v, i) => p * v + r * (second[i] as number)) as Row; // out of the crop's plane
  const [d, e, f] = first.map((v, i) => q * v + s * (second[i] as number)) as Row;
  return [Math.atan2(c, a * e - b * d), Math.asin(Math.max(-1, Math.min(1, -f))), Math.atan2(d, e)].map((v) => (v * 180) / Math.PI) as Row;
}
