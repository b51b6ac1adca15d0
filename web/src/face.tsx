// A face in words, as bars, and as a box over its picture.

import { COLOURS, EMOTIONS, type Emotion, ink, PLAIN, trackColour } from "./emotions";
import type { Face, Shares } from "./records";
import { EMOTION_WORDS, percent, W } from "./words";

/** What the face shows by its smoothed shares where it has them, so that a clip does not flicker. */
const LEAST_MOVE = 0.2; // of a movement that is told

export function shown(face: Face): { emotion: Emotion; share: number; shares: Shares } | null {
  const shares = face.smoothed ?? face.probabilities;
  if (!shares) return null;
  const best = EMOTIONS.reduce((a, b) => (shares[b] > shares[a] ? b : a));
  const emotion = face.smoothed || !face.emotion ? best : face.emotion; // the policy chose `face.emotion`
  return { emotion, share: shares[emotion], shares };
}

export function faceWords(face: Face): string {
  const now = shown(face);
  if (!now) return W.face.unread;
  const word = EMOTION_WORDS[now.emotion];
  return face.uncertain ? W.face.unsure(word, now.share) : W.face.shows(word, now.share);
}

/** The same beside a tag that says "unsure". */
function headWords(face: Face): string {
  const now = shown(face);
  return now && face.uncertain ? W.face.perhaps(EMOTION_WORDS[now.emotion], now.share) : faceWords(face);
}

/** All faces of a picture in words, for those who do not see it. */
export function pictureWords(faces: readonly Face[]): string {
  if (!faces.length) return W.photos.faces(0);
  const some = faces.slice(0, 8).map(faceWords).join("; ");
  return `${W.photos.faces(faces.length)}: ${some}${faces.length > 8 ? "; …" : ""}`;
}

/** The number people see: its track in a clip, its place in a photo. */
export const numberOf = (face: Face): number => face.track ?? face.face + 1;

export function Bars({ face, label }: { face: Face; label: string }) {
  const now = shown(face);
  if (!now) return <p>{W.face.unread}</p>;
  const set = face.set ?? [];
  return (
    <ul class="bars" aria-label={label}>
      {EMOTIONS.map((emotion) => {
        const share = now.shares[emotion];
        const member = set.includes(emotion);
        return (
          <li key={emotion} class={`${emotion === now.emotion ? "top" : ""} ${member ? "member" : ""}`}>
            <span>
              {EMOTION_WORDS[emotion]}
              {member ? <span class="hidden"> ({W.face.setHint})</span> : null}
            </span>
            <span class="bar">
              <i style={{ width: `${100 * share}%`, background: COLOURS[emotion] }} />
            </span>
            <span class="value">{percent(share, 1)}</span>
          </li>
        );
      })}
    </ul>
  );
}

export function FaceCard({ face, thumb, active, onActive }: {
  face: Face;
  thumb?: string | null;
  active?: boolean;
  onActive?: (face: number | null) => void;
}) {
  const number = numberOf(face);
  return (
    <div
      role="group"
      class={`face ${active ? "active" : ""}`}
      aria-label={W.face.short(number)}
      onPointerEnter={() => onActive?.(face.face)}
      onPointerLeave={() => onActive?.(null)}
    >
      <div class="head">
        {thumb ? <img src={thumb} alt="" /> : null}
        {face.track != null ? <Swatch colour={trackColour(face.track)} /> : null}
        <h3>
          {W.face.title(number, headWords(face))}
          {face.uncertain ? <span class="tag">{W.face.unsureTag}</span> : null}
        </h3>
      </div>
      <Doubt face={face} />
      <Bars face={face} label={W.face.bars(number)} />
      <Movement face={face} />
    </div>
  );
}

/** The prediction set where it holds more than what is shown, and what "unsure" means. */
function Doubt({ face }: { face: Face }) {
  const set = face.set ?? [];
  return (
    <>
      {face.uncertain ? <p class="soft">{W.face.unsureLine}</p> : null}
      {set.length > 1 ? <p class="soft">{W.face.set(set.map((e) => EMOTION_WORDS[e]))}</p> : null}
    </>
  );
}

/** How the head is turned, and what moves most: of photos and the camera. */
function Movement({ face: { yaw, pitch, roll, units } }: { face: Face }) {
  if (yaw == null || pitch == null || roll == null) return null;
  const most = Object.entries(units ?? {})
    .filter(([, value]) => value >= LEAST_MOVE)
    .sort((a, b) => b[1] - a[1])
    .slice(0, 6);
  return (
    <>
      <p class="soft">{W.face.pose(yaw, pitch, roll)}</p>
      {most.length ? <p class="soft">{W.face.moves(most)}</p> : null}
    </>
  );
}

export const Swatch = ({ colour }: { colour: string }) => (
  <i class="swatch" style={{ background: colour }} aria-hidden="true" />
);

/** Boxes over a picture of `width` by `height` pixels; hidden from screen readers, which get the cards. */
export function Boxes({ faces, width, height, active, onActive, mirrored }: {
  faces: readonly Face[];
  width: number;
  height: number;
  active?: number | null;
  onActive?: (face: number | null) => void;
  mirrored?: boolean;
}) {
  if (!width || !height) return null;
  return (
    <div class="boxes" aria-hidden="true">
      {faces.map((face) => (
        <Box
          key={face.track ?? `f${face.face}`}
          face={face}
          place={place(face, width, height, mirrored)}
          active={active === face.face}
          onActive={onActive}
        />
      ))}
    </div>
  );
}

interface Place {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The box in shares of the picture, cut at its edges. */
function place(face: Face, width: number, height: number, mirrored?: boolean): Place {
  const [x, y, w, h] = face.box;
  const left = Math.max(0, x / width);
  const right = Math.min(1, (x + w) / width);
  const top = Math.max(0, y / height);
  const bottom = Math.min(1, (y + h) / height);
  return { left: mirrored ? 1 - right : left, top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
}

function Box({ face, place: p, active, onActive }: {
  face: Face;
  place: Place;
  active: boolean;
  onActive: ((face: number | null) => void) | undefined;
}) {
  const now = shown(face);
  const fill = now ? COLOURS[now.emotion] : PLAIN;
  const style = {
    left: `${100 * p.left}%`,
    top: `${100 * p.top}%`,
    width: `${100 * p.width}%`,
    height: `${100 * p.height}%`,
    borderColor: face.track != null ? trackColour(face.track) : fill,
  };
  const side = p.left + p.width / 2 > 0.5 ? "right" : "left";
  const level = p.top < 0.12 ? (p.top + p.height > 0.88 ? "inside" : "below") : "above";
  return (
    <div
      class={`box ${side} ${level} ${face.uncertain ? "unsure" : ""} ${active ? "active" : ""}`}
      style={style}
      onPointerEnter={() => onActive?.(face.face)}
      onPointerLeave={() => onActive?.(null)}
    >
      <span class="label" style={{ background: fill, color: ink(fill) }}>
        {numberOf(face)}
        {now ? (
          <span class="word">
            {" "}
            {EMOTION_WORDS[now.emotion]}
            {face.uncertain ? W.face.unsureMark : <span class="share"> {percent(now.share)}</span>}
          </span>
        ) : null}
      </span>
    </div>
  );
}
