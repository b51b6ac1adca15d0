// Finds faces as Mien does in clips: src/mien/run/detect.py with `DetectorOptions.video()`.
// Not here: `sieve.py`, which sorts more than FEW small candidates; the best FEW are looked at instead.

import { applied, inverted, type Point, scaleOf, similarity } from "./geometry";
import { affine, FILTERS, type Matrix, type Picture, reduce, resize, round } from "./resample";
import { type Find, type Look, suppress } from "./yunet";

const MIN_FACE = 20; // pixels of the longer side
const THRESHOLD = 0.6; // score from which a find is a face
const CANDIDATE = 0.2; // score from which it is looked at again from nearby
const CERTAIN = 0.7; // score from which it needs no second look
const COARSE = 224; // long side of the smallest size looked at
const FINEST = 640; // and of the largest
const STEP = 4; // the most by which one size is larger than the next
const MOST = 8; // candidates looked at again
const FEW = 64; // small ones among them
const SMALL = 40; // pixels
const ALIKE = 1.8; // the most by which a face may be larger or smaller from nearby than was thought
const NEAR = 0.3; // score from which something is seen from nearby

/** A square of `side` pixels with the template's square, `face` pixels wide, in the middle. */
const VERIFY = { side: 160, face: 104 };
const REFINE = { side: 288, face: 240 };

export async function detect(picture: Picture, look: Look, template: readonly Point[]): Promise<Find[]> {
  const scene = new Scene(picture, look, template);
  const faces = await scene.confirm(await scene.look());
  const area = ({ box }: Find) => box[2] * box[3];
  return faces.filter((face) => longer(face) >= MIN_FACE).sort((a, b) => area(b) - area(a));
}

const longer = ({ box }: Find) => Math.max(box[2], box[3]);

/** The long sides of the sizes to look at in a picture with a long side of `long`, smallest first. */
function sizes(long: number): number[] {
  const finest = Math.min(Math.max(COARSE, 2 * long), long, FINEST);
  const steps = Math.max(1, Math.ceil(Math.log(finest / COARSE) / Math.log(STEP) - 1e-9));
  const ratio = (COARSE / finest) ** (1 / steps);
  return Array.from({ length: steps + 1 }, (_, i) => finest * ratio ** (steps - i));
}

class Scene {
  private readonly reduced = new Map<number, Picture>();
  private readonly long: number;

  constructor(
    private readonly picture: Picture,
    private readonly network: Look,
    private readonly template: readonly Point[],
  ) {
    this.reduced.set(0, picture);
    this.long = Math.max(picture.width, picture.height);
  }

  /** Candidates from the whole picture at each size. */
  async look(): Promise<Find[]> {
    const all: Find[] = [];
    for (const wanted of sizes(this.long)) {
      const portrait = all.some((find) => find.score >= CERTAIN && longer(find) >= this.long / 3);
      const [small, scale] = this.resized(portrait ? Math.min(wanted, this.long) : wanted);
      const times = (v: number) => Math.fround(v * scale);
      for (const { box, landmarks, score } of await this.network(small, CANDIDATE))
        all.push({ box: box.map(times) as Find["box"], landmarks: landmarks.map((p) => p.map(times) as Point), score });
    }
    return suppress(all);
  }

  private resized(long: number): [Picture, number] {
    if (round(long) === this.long) return [this.picture, 1];
    const scale = long / this.long;
    const [width, height] = [this.picture.width, this.picture.height].map((v) => Math.max(1, round(v * scale))) as Point;
    return [resize(this.picture, width, height, FILTERS.bilinear, 2), 1 / scale];
  }

  /** The candidates that reach the full threshold, at once or from nearby, with refined landmarks. */
  async confirm(candidates: readonly Find[]): Promise<Find[]> {
    const sure = candidates.filter((find) => find.score >= THRESHOLD);
    const middle = ({ box }: Find): Point => [box[0] + box[2] / 2, box[1] + box[3] / 2];
    const inside = ([x, y]: Point) =>
      sure.some(({ box }) => x > box[0] && x < box[0] + box[2] && y > box[1] && y < box[1] + box[3]);
    let few = 0;
    const unsure = candidates.filter(
      (find) =>
        find.score < THRESHOLD && !inside(middle(find)) && longer(find) >= MIN_FACE * 0.8 && (longer(find) >= SMALL || few++ < FEW),
    );
    const faces: Find[] = [];
    for (const find of [...sure, ...unsure.slice(0, MOST)]) {
      const face = await this.fromNearby(find);
      if (face) faces.push(face);
    }
    return suppress(faces);
  }

  private async fromNearby(first: Find): Promise<Find | null> {
    let face = first;
    if (first.score < CERTAIN) {
      const seen = await this.lookNear(face, VERIFY);
      if (!seen || seen.score < THRESHOLD) return null;
      face = seen;
    }
    face = (await this.lookNear(face, REFINE)) ?? face;
    return { ...face, score: Math.max(face.score, first.score) };
  }

  /** The face upright, in the middle of a square and of a known size; null: not seen. */
  private async lookNear({ landmarks }: Find, near: typeof VERIFY): Promise<Find | null> {
    const border = (near.side - near.face) / 2;
    const goal = this.template.map(([x, y]): Point => [x * near.face + border, y * near.face + border]);
    const matrix = similarity(landmarks, goal);
    const seen = await this.network(this.view(matrix, near.side), NEAR);
    const same = seen.find(({ box }) => {
      const off = Math.hypot(box[0] + box[2] / 2 - near.side / 2, box[1] + box[3] / 2 - near.side / 2);
      const size = Math.sqrt(box[2] * box[3]) / near.face;
      return off < near.face / 3 && size > 1 / ALIKE && size < ALIKE;
    });
    return same ? mapped(same, inverted(matrix)) : null;
  }

  /** The picture through a similarity, from the last halving that is still larger than the view. */
  private view(matrix: Matrix, side: number): Picture {
    const level = Math.max(0, Math.floor(-Math.log2(scaleOf(matrix))));
    let small = this.reduced.get(level);
    if (!small) this.reduced.set(level, (small = reduce(this.picture, 2 ** level, 2 ** level)));
    return affine(small, inverted(matrix).map((v) => v / 2 ** level) as Matrix, side, FILTERS.bilinear);
  }
}

/** A find taken through a similarity; the new box holds the ellipse that the old one held. */
function mapped({ box, landmarks, score }: Find, matrix: Matrix): Find {
  const [x, y] = applied(matrix, [box[0] + box[2] / 2, box[1] + box[3] / 2]);
  const across = Math.hypot((matrix[0] * box[2]) / 2, (matrix[1] * box[3]) / 2);
  const down = Math.hypot((matrix[3] * box[2]) / 2, (matrix[4] * box[3]) / 2);
  const single = (all: readonly number[]) => all.map(Math.fround);
  return {
    box: single([x - across, y - down, 2 * across, 2 * down]) as Find["box"],
    landmarks: landmarks.map((p) => single(applied(matrix, p)) as Point),
    score,
  };
}
