// Finds faces as Mien does in clips: src/mien/faces/detect.py with `DetectorOptions.video()`.

import type { Point } from "./geometry";
import type { LookAtFaces, Parts } from "./parts";
import { FILTERS, type Picture, resize, round } from "./resample";
import { type Find, type Look, suppress } from "./yunet";

const MIN_FACE = 20; // pixels of the longer side
const THRESHOLD = 0.95; // score from which something is a face
const CANDIDATE = 0.5; // YuNet's score from which the face network looks at something
const MOST = 100; // candidates that are looked at
const COARSE = 224; // long side of the smallest size scanned
const FINEST = 640; // and of the largest
const STEP = 3; // the most by which one size is larger than the next
const PORTRAIT = { score: 0.8, share: 1 / 3 }; // a face of this share of the picture's longer side makes it one
const WEIGHTS = [2.0, 2.1, -10.0] as const; // of YuNet's score and of presence, as logits: the share that are faces
const MOST_LOGIT = 7;
const DARK = 96; // a picture whose 99th percentile is below is brightened ...
const BRIGHT = 230; // ... until it is this

/** A face, and what the face network says of it. */
export type FoundFace = Find & Omit<Parts, "presence">;

export async function detect(picture: Picture, look: Look, lookAtFaces: LookAtFaces): Promise<FoundFace[]> {
  const candidates = (await scan(brighten(picture), look)).filter((find) => longer(find) >= MIN_FACE).slice(0, MOST);
  const firsts = await lookAtFaces(picture, candidates.map(({ landmarks }) => landmarks));
  const believed = candidates.flatMap((find, i) => {
    const first = firsts[i] as Parts;
    const share = shareOfFaces(find.score, first);
    return share >= THRESHOLD ? [{ find, first, share }] : [];
  });
  const seconds = await lookAtFaces(picture, believed.map(({ first }) => first.landmarks));
  const faces = believed.flatMap(({ find, share }, i) => {
    const { presence, ...second } = seconds[i] as Parts;
    const score = Math.min(share, shareOfFaces(find.score, { presence }));
    return score >= THRESHOLD ? [{ ...second, box: find.box, score }] : [];
  });
  const area = ({ box }: Find) => box[2] * box[3];
  return dropCopies(faces).sort((a, b) => area(b) - area(a));
}

const longer = ({ box }: Find) => Math.max(box[2], box[3]);

function shareOfFaces(score: number, { presence }: Pick<Parts, "presence">): number {
  const [seen, present] = [score, presence].map((v) => {
    const p = Math.min(Math.max(v, 1e-6), 1 - 1e-6);
    return Math.log(p / (1 - p));
  }) as Point;
  return 1 / (1 + Math.exp(-(WEIGHTS[0] * seen + WEIGHTS[1] * Math.min(present, MOST_LOGIT) + WEIGHTS[2])));
}

/** Those without the faces whose landmarks lie on those of another that scores more. */
function dropCopies(faces: readonly FoundFace[]): FoundFace[] {
  const kept: FoundFace[] = [];
  for (const face of [...faces].sort((a, b) => b.score - a.score)) {
    const apart = (other: FoundFace) => {
      const away = face.landmarks.map(([x, y], i) => Math.hypot(x - (other.landmarks[i] as Point)[0], y - (other.landmarks[i] as Point)[1]));
      return away.reduce((a, b) => a + b, 0) / away.length >= Math.min(longer(face), longer(other)) / 4;
    };
    if (kept.every(apart)) kept.push(face);
  }
  return kept;
}

/** The long sides at which a picture with a long side of `long` is scanned: its own first, then from the smallest. */
function sizes(long: number): number[] {
  const own = Math.max(COARSE, Math.min(long, FINEST));
  const steps = Math.ceil(Math.log(own / COARSE) / Math.log(STEP) - 1e-9);
  return [own, ...Array.from({ length: steps }, (_, i) => COARSE * (own / COARSE) ** (i / steps))];
}

/** What YuNet half believes in, at each size, in pixels of the picture; a portrait is scanned once. */
async function scan(picture: Picture, look: Look): Promise<Find[]> {
  const long = Math.max(picture.width, picture.height);
  const all: Find[] = [];
  for (const size of sizes(long)) {
    const [small, scale] = resized(picture, long, size);
    const times = (v: number) => Math.fround(v * scale);
    for (const { box, landmarks, score } of await look(small, CANDIDATE))
      all.push({ box: box.map(times) as Find["box"], landmarks: landmarks.map((p) => p.map(times) as Point), score });
    if (all.some((find) => find.score >= PORTRAIT.score && longer(find) >= long * PORTRAIT.share)) break;
  }
  return suppress(all);
}

function resized(picture: Picture, long: number, wanted: number): [Picture, number] {
  if (round(wanted) === long) return [picture, 1];
  const scale = wanted / long;
  const [width, height] = [picture.width, picture.height].map((v) => Math.max(1, round(v * scale))) as Point;
  return [resize(picture, width, height, FILTERS.bilinear, 2), 1 / scale];
}

/** A dark picture with its levels stretched; any other as it is. */
function brighten(picture: Picture): Picture {
  const { data, width, height } = picture;
  const step = 1 + Math.floor(Math.max(width, height) / 256);
  const levels: number[] = [];
  for (let y = 0; y < height; y += step)
    for (let x = 0; x < width; x += step) levels.push(...data.slice(3 * (y * width + x), 3 * (y * width + x) + 3));
  levels.sort((a, b) => a - b);
  const place = 0.99 * (levels.length - 1);
  const [low, high] = [levels[Math.floor(place)] as number, levels[Math.ceil(place)] as number];
  const level = low + (high - low) * (place - Math.floor(place));
  if (level >= DARK) return picture;
  const gain = Math.fround(BRIGHT / Math.max(level, 1));
  return { ...picture, data: data.map((v) => Math.trunc(Math.min(255, Math.fround(v * gain)))) };
}
