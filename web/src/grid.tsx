// Photos: one as a picture with its faces beside it, several as a grid that sorts and filters.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { COLOURS, EMOTIONS, type Emotion } from "./emotions";
import { Boxes, FaceCard, pictureWords, shown, Swatch } from "./face";
import { arrange, clearPhotos, done, type Entry, entries, type Filter, read, removePhoto, retry, type Sort } from "./photos";
import type { Photo } from "./records";
import { SavePhotos } from "./save";
import { ProblemText, settle } from "./say";
import { cut } from "./thumbs";
import { EMOTION_WORDS, W } from "./words";

const THUMBS = 100; // faces of a photo that are cut out
const PAGE = 120; // tiles at once: a batch of thousands stays quick

export function Photos() {
  const all = entries.value;
  if (!all.length) return null;
  const waiting = all.length - done.value;
  return (
    <section aria-labelledby="photos-title">
      <div class="top">
        <h2 id="photos-title">{W.photos.title}</h2>
        {read.value.length ? <SavePhotos read={read.value} /> : null}
        <button type="button" class="quiet" onClick={() => (clearPhotos(), settle())}>
          {W.photos.clear}
        </button>
      </div>
      {waiting && all.length > 1 ? (
        <label class="progress">
          {W.photos.progress(done.value, all.length)}
          <progress value={done.value} max={all.length} />
        </label>
      ) : null}
      {all.length === 1 ? <Single entry={all[0] as Entry} /> : <Grid />}
    </section>
  );
}

function Single({ entry }: { entry: Entry }) {
  return (
    <>
      <h3 class="name">{entry.file.name}</h3>
      <Detail entry={entry} />
    </>
  );
}

/** The picture with its boxes, and a card for each face. */
function Detail({ entry }: { entry: Entry }) {
  const active = useSignal<number | null>(null);
  const unshowable = useSignal(false);
  const image = useSignal<HTMLImageElement | null>(null);
  const { photo, problem } = entry;
  const faces = photo?.faces ?? [];
  const nothing = unshowable.value && !photo;
  const thumbs = useMemo(() => thumbsOf(image.value, photo), [image.value, photo]);
  const set = (face: number | null) => {
    active.value = face;
  };
  return (
    <div class={`photo ${faces.length > 2 || nothing ? "many" : ""}`}>
      <figure class="picture" hidden={nothing}>
        {unshowable.value ? (
          <p class="soft blank">{W.photos.unshowable}</p>
        ) : (
          <>
            <img
              src={entry.url}
              alt={W.photos.alt(entry.file.name, photo ? pictureWords(faces) : "")}
              onLoad={(event) => {
                image.value = event.currentTarget;
              }}
              onError={() => {
                unshowable.value = true;
              }}
            />
            {photo ? (
              <Boxes faces={faces} width={photo.width} height={photo.height} active={active.value} onActive={set} />
            ) : null}
          </>
        )}
      </figure>
      <div>
        {photo?.notes.map((note) => (
          <p class="soft" key={note}>
            {note}
          </p>
        ))}
        {entry.state === "waiting" || entry.state === "reading" ? <p class="soft">{W.photos.reading}…</p> : null}
        {problem ? <Failed entry={entry} /> : null}
        {photo && !faces.length ? <p>{W.face.none}</p> : null}
        <div class="faces">
          {faces.map((face, i) => (
            <FaceCard key={face.face} face={face} thumb={thumbs[i]} active={active.value === face.face} onActive={set} />
          ))}
        </div>
      </div>
    </div>
  );
}

/** The faces cut out, so that a card is told from its neighbour; none where there is one face alone. */
function thumbsOf(image: HTMLImageElement | null, photo: Photo | null): string[] {
  if (!image || !photo || photo.faces.length < 2) return [];
  const size: [number, number] = [image.naturalWidth, image.naturalHeight];
  return photo.faces.slice(0, THUMBS).map((face) => cut(image, size, face.box));
}

function Failed({ entry }: { entry: Entry }) {
  return (
    <>
      <ProblemText problem={entry.problem ?? { title: W.photos.failed }} />
      <p class="actions">
        <button type="button" onClick={() => retry(entry.id)}>
          {W.photos.retry}
        </button>
      </p>
    </>
  );
}

function Grid() {
  const sort = useSignal<Sort>("added");
  const filter = useSignal<Filter>("all");
  const limit = useSignal(PAGE);
  const open = useSignal<number | null>(null);
  const shownEntries = arrange(entries.value, filter.value, sort.value);
  const some = shownEntries.slice(0, limit.value);
  const rest = shownEntries.length - some.length;
  return (
    <>
      <div class="controls">
        <label>
          {W.photos.sort}
          <select value={sort.value} onChange={(e) => (sort.value = e.currentTarget.value as Sort)}>
            <option value="added">{W.photos.sorts.added}</option>
            <option value="name">{W.photos.sorts.name}</option>
            <option value="faces">{W.photos.sorts.faces}</option>
            <option value="unsure">{W.photos.sorts.unsure}</option>
            {EMOTIONS.map((emotion) => (
              <option key={emotion} value={emotion}>
                {W.photos.sorts.by(EMOTION_WORDS[emotion])}
              </option>
            ))}
          </select>
        </label>
        <label>
          {W.photos.filter}
          <select value={filter.value} onChange={(e) => (filter.value = e.currentTarget.value as Filter)}>
            <option value="all">{W.photos.filters.all}</option>
            {EMOTIONS.map((emotion) => (
              <option key={emotion} value={emotion}>
                {W.photos.filters.by(EMOTION_WORDS[emotion])}
              </option>
            ))}
            <option value="unsure">{W.photos.filters.unsure}</option>
            <option value="none">{W.photos.filters.none}</option>
            <option value="failed">{W.photos.filters.failed}</option>
          </select>
        </label>
        <span class="soft" role="status">
          {W.photos.shown(shownEntries.length, entries.value.length)}
        </span>
      </div>
      {some.length ? (
        <ul class="grid">
          {some.map((entry) => (
            <Tile key={entry.id} entry={entry} onOpen={() => (open.value = entry.id)} />
          ))}
        </ul>
      ) : (
        <p>{W.photos.empty}</p>
      )}
      {rest > 0 ? (
        <p>
          <button type="button" onClick={() => (limit.value += PAGE)}>
            {W.photos.moreButton(Math.min(rest, PAGE))}
          </button>
        </p>
      ) : null}
      {open.value !== null ? (
        <Viewer list={shownEntries} id={open.value} onMove={(id) => (open.value = id)} onClose={() => (open.value = null)} />
      ) : null}
    </>
  );
}

function Tile({ entry, onOpen }: { entry: Entry; onOpen: () => void }) {
  const { photo } = entry;
  const words = entry.state === "failed" ? W.photos.failed : W.photos.reading;
  return (
    <li>
      <button type="button" class="tile" aria-haspopup="dialog" onClick={onOpen}>
        <span class="picture">
          {entry.thumb ? <img src={entry.thumb} alt="" /> : <span class="blank" />}
          {photo && entry.thumb ? <Boxes faces={photo.faces} width={photo.width} height={photo.height} /> : null}
        </span>
        <span class="name">{entry.file.name}</span>
        {photo ? <Chips entry={entry} /> : <span class={entry.state === "failed" ? "bad" : "soft"}>{words}</span>}
        <span class="hidden">{W.photos.open}</span>
      </button>
    </li>
  );
}

/** Each expression that the photo shows, with how many faces show it. */
function Chips({ entry }: { entry: Entry }) {
  const faces = entry.photo?.faces ?? [];
  const counts = new Map<Emotion, number>();
  for (const face of faces) {
    const emotion = shown(face)?.emotion;
    if (emotion) counts.set(emotion, (counts.get(emotion) ?? 0) + 1);
  }
  const unsure = faces.filter((face) => face.uncertain).length;
  if (!faces.length) return <span class="soft">{W.photos.faces(0)}</span>;
  return (
    <span class="chips">
      {[...counts].map(([emotion, n]) => (
        <span key={emotion}>
          <Swatch colour={COLOURS[emotion]} />
          {EMOTION_WORDS[emotion]}
          {n > 1 ? ` × ${n}` : ""}
        </span>
      ))}
      {unsure ? <span class="tag">{unsure > 1 ? `${W.face.unsureTag} × ${unsure}` : W.face.unsureTag}</span> : null}
    </span>
  );
}

function Viewer({ list, id, onMove, onClose }: {
  list: Entry[];
  id: number;
  onMove: (id: number) => void;
  onClose: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const entry = entries.value.find((e) => e.id === id);
  const at = list.findIndex((e) => e.id === id);
  const before = list[at - 1];
  const after = list[at + 1];
  useEffect(() => {
    if (!entry) onClose();
  }, [entry]);
  if (!entry) return null;
  const key = (event: KeyboardEvent) => {
    if (event.key === "ArrowLeft" && before) onMove(before.id);
    if (event.key === "ArrowRight" && after) onMove(after.id);
  };
  return (
    <dialog ref={dialog} class="viewer" aria-labelledby="viewer-title" onClose={onClose} onKeyDown={key}>
      <div class="top">
        <h2 id="viewer-title">{entry.file.name}</h2>
        <button type="button" disabled={!before} onClick={() => before && onMove(before.id)} aria-label={W.photos.previous}>
          ←
        </button>
        <button type="button" disabled={!after} onClick={() => after && onMove(after.id)} aria-label={W.photos.next}>
          →
        </button>
        <button type="button" class="quiet" onClick={() => (removePhoto(entry.id), settle())}>
          {W.photos.remove}
        </button>
        <button type="button" onClick={() => dialog.current?.close()}>
          {W.photos.close}
        </button>
      </div>
      <Detail key={entry.id} entry={entry} />
    </dialog>
  );
}
