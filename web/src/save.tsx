// Results as files. Photos are put into Mien's table here; a clip's files come from the server.

import { useSignal } from "@preact/signals";
import { readTable } from "./api";
import { EMOTIONS } from "./emotions";
import type { Photo } from "./records";
import { complain, say } from "./say";
import { W } from "./words";

const MEASURED = ["yaw", "pitch", "roll", "quality"] as const;

/** The columns of Mien's table, as in src/mien/types.py; tests/server/test_web.py compares them. */
export const COLUMNS = [
  "source", "frame", "time", "face", "track", "success",
  "x", "y", "width", "height", "score", ...MEASURED, "emotion", "confidence",
  ...EMOTIONS,
  "set", "uncertain",
  ...EMOTIONS.map((emotion) => `smoothed_${emotion}`),
];

type Cell = string | number | string[] | null;

/** The rows of a photo: one a face, or one with `success` 0. */
export function rowsOf(photo: Photo): Record<string, Cell>[] {
  const empty = Object.fromEntries(COLUMNS.map((column) => [column, null])) as Record<string, Cell>;
  const base = { ...empty, source: photo.name, frame: 0, success: 0 };
  if (!photo.faces.length) return [base];
  return photo.faces.map((face) => ({
    ...base,
    face: face.face,
    success: 1,
    x: face.box[0],
    y: face.box[1],
    width: face.box[2],
    height: face.box[3],
    score: face.score,
    ...Object.fromEntries(MEASURED.map((name) => [name, face[name] ?? null])),
    emotion: face.emotion,
    confidence: face.confidence,
    ...(face.probabilities ?? {}),
    set: face.set,
    uncertain: face.uncertain === null ? null : Number(face.uncertain),
  }));
}

const SINGLE = new Set(["x", "y", "width", "height", "score", ...MEASURED, "confidence", ...EMOTIONS]);

/** The fewest digits that read back as the same float32, as Mien writes them. */
function shortest(value: number): number {
  const single = Math.fround(value);
  for (let digits = 1; digits < 9; digits += 1) {
    const tried = Number(single.toPrecision(digits));
    if (Math.fround(tried) === single) return tried;
  }
  return Number(single.toPrecision(9));
}

const tidy = (rows: Record<string, Cell>[]) =>
  rows.map((row) =>
    Object.fromEntries(
      COLUMNS.map((name) => {
        const cell = row[name] ?? null;
        return [name, typeof cell === "number" && SINGLE.has(name) ? shortest(cell) : cell];
      }),
    ),
  );

function csvCell(cell: Cell): string {
  if (cell === null) return "";
  const text = Array.isArray(cell) ? cell.join(" ") : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csvOf(photos: readonly Photo[]): string {
  const lines = tidy(photos.flatMap(rowsOf)).map((row) => COLUMNS.map((name) => csvCell(row[name] as Cell)).join(","));
  return `${[COLUMNS.join(","), ...lines].join("\n")}\n`;
}

export const jsonOf = (photos: readonly Photo[]): string => `${JSON.stringify(tidy(photos.flatMap(rowsOf)), null, 1)}\n`;

export function save(data: Blob | string, name: string, type: string): void {
  const url = URL.createObjectURL(typeof data === "string" ? new Blob([data], { type }) : data);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export function SavePhotos({ read }: { read: readonly { file: File; photo: Photo }[] }) {
  const making = useSignal(false);
  const photos = read.map(({ photo }) => photo);
  const parquet = async () => {
    if (making.value) return;
    making.value = true;
    say(W.save.making);
    try {
      save(await readTable(read.map(({ file }) => file)), "mien-photos.parquet", "application/vnd.apache.parquet");
    } catch (error) {
      complain(error);
    } finally {
      making.value = false;
    }
  };
  return (
    <p class="actions" role="group" aria-label={W.save.title}>
      <span class="soft">{W.save.title}</span>
      <button type="button" onClick={() => save(csvOf(photos), "mien-photos.csv", "text/csv")}>
        {W.save.csv}
      </button>
      <button type="button" onClick={() => save(jsonOf(photos), "mien-photos.json", "application/json")}>
        {W.save.json}
      </button>
      <button type="button" aria-disabled={making.value} onClick={() => void parquet()}>
        {W.save.parquet}
      </button>
    </p>
  );
}

/** A clip's files, which the server has. */
export function SaveClip({ name, results }: { name: string; results: Record<string, string> }) {
  const stem = name.replace(/\.[^.]*$/, "") || name;
  const known = Object.entries(results).filter(([file]) => file in W.save.files);
  return (
    <p class="actions" role="group" aria-label={W.save.title}>
      <span class="soft">{W.save.title}</span>
      {known.map(([file, url]) => (
        <a class="button" key={file} href={url} download={`${stem}.${file}`}>
          {W.save.files[file]}
        </a>
      ))}
    </p>
  );
}
