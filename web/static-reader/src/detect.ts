// Finds faces as Mien does in clips: src/mien/faces/detect.py with `DetectorOptions.video()`.
// Not here: dark pictures are not brightened.

import { applied, inverted, type Point, scaleOf, similarity } from "./geometry";
import { affine, FILTERS, type Matrix, type Picture, reduce, resize, round } from "./resample";
import { type Find, type Look, suppress } from "./yunet";

const MIN_FACE = 20; // pixels of the longer side
const THRESHOLD = 0.8; // score from which something is a face
const COARSE = 224; // long side of the smallest size scanned
const FINEST = 640; // and of the largest
const STEP = 3; // the most by which one size is larger than the next
const ALIKE = 1.8; // the most by which a face may be larger or smaller in its close-up than was expected
const SEEN = 0.3; // score from which something is seen in a close-up

/** The close-up that refines landmarks: a square of `side` pixels, the template's of `face` in its middle. */
const REFINE = { side: 288, face: 240 };

export async function detect(picture: Picture, look: Look, template: readonly Point[]): Promise<Find[]> {
  const scene = new Scene(picture, look, template);
  const faces: Find[] = [];
  for (const find of await scene.scan()) faces.push(await scene.refine(find));
  const area = ({ box }: Find) => box[2] * box[3];
  return suppress(faces).filter((face) => longer(face) >= MIN_FACE).sort((a, b) => area(b) - area(a));
}

const longer = ({ box }: Find) => Math.max(box[2], box[3]);

/** The long sides at which a picture with a long side of `long` is scanned, smallest first. */
function sizes(long: number): number[] {
  const own = Math.max(COARSE, Math.min(long, FINEST));
  const steps = Math.ceil(Math.log(own / COARSE) / Math.log(STEP) - 1e-9);
  return Array.from({ length: steps + 1 }, (_, i) => COARSE * (own / COARSE) ** (i / Math.max(1, steps)));
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

  /** Faces in the whole picture at each size. */
  async scan(): Promise<Find[]> {
    const all: Find[] = [];
    for (const size of sizes(this.long)) {
      const [small, scale] = this.resized(size);
      const times = (v: number) => Math.fround(v * scale);
      for (const { box, landmarks, score } of await this.network(small, THRESHOLD))
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

  /** One face, its landmarks refined in a close-up that shows it upright. */
  async refine(face: Find): Promise<Find> {
    const border = (REFINE.side - REFINE.face) / 2;
    const goal = this.template.map(([x, y]): Point => [x * REFINE.face + border, y * REFINE.face + border]);
    const matrix = similarity(face.landmarks, goal);
    const seen = await this.network(this.view(matrix, REFINE.side), SEEN);
    const same = seen.find(({ box }) => {
      const off = Math.hypot(box[0] + box[2] / 2 - REFINE.side / 2, box[1] + box[3] / 2 - REFINE.side / 2);
      const size = Math.sqrt(box[2] * box[3]) / REFINE.face;
      return off < REFINE.face / 3 && size > 1 / ALIKE && size < ALIKE;
    });
    if (!same) return face;
    const refined = mapped(same, inverted(matrix));
    return { ...refined, score: Math.max(refined.score, face.score) };
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
