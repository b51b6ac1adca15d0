// Time across, a band for each face: stacked shares, events as marks, thumbnails at apexes.

import { type Signal, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { COLOURS, EMOTIONS, trackColour } from "./emotions";
import { Swatch } from "./face";
import type { EventRow } from "./records";
import { useThumbs, type Wish } from "./thumbs";
import { beside, lanesOf, outlines, type Story, type Track } from "./tracks";
import { clock, EMOTION_WORDS, percent, W } from "./words";

const TRACKS = 8; // bands at first
const APEXES = 6; // thumbnails a band: the strongest events
const EVENTS = 50; // rows of the table at first
const LANE = 10; // units of the height of a row of marks

type Seek = (time: number) => void;

const eventKey = (e: EventRow) => `${e.track}-${e.emotion}-${e.onset}`;
const strongest = (track: Track) =>
  [...track.events].sort((a, b) => b.peak - a.peak).slice(0, APEXES).sort((a, b) => a.apex - b.apex);

export function Timeline({ story, now, seek, url }: {
  story: Story;
  now: Signal<number>;
  seek: Seek;
  url: string | null;
}) {
  const limit = useSignal(TRACKS);
  const tracks = story.tracks.slice(0, limit.value);
  const wishes = useMemo(() => tracks.flatMap((track) => wishesOf(track, story)), [story, tracks.length]);
  const thumbs = useThumbs(url, wishes);
  const rest = story.tracks.length - tracks.length;
  return (
    <div class="timeline" role="group" aria-label={W.clip.timeline}>
      <h3>{W.clip.timeline}</h3>
      <p class="soft">{W.clip.timelineHint}</p>
      <Legend />
      <Scrubber story={story} now={now} seek={seek} />
      {tracks.map((track) => (
        <Band key={track.number} track={track} story={story} now={now} seek={seek} thumbs={thumbs} />
      ))}
      {rest > 0 ? (
        <button type="button" onClick={() => (limit.value += TRACKS)}>
          {W.clip.moreTracks(rest)}
        </button>
      ) : null}
    </div>
  );
}

/** What to cut out of the clip for a track: the face where it is surest, and at its strongest apexes. */
function wishesOf(track: Track, story: Story): Wish[] {
  const apexes = strongest(track).flatMap((event) => {
    const box = boxAt(story, track.number, event.apex);
    return box ? [{ key: eventKey(event), time: event.apex, box }] : [];
  });
  return [{ key: `${track.number}`, time: track.best.time, box: track.best.box }, ...apexes];
}

function boxAt(story: Story, track: number, time: number) {
  let best: { gap: number; box: Wish["box"] } | null = null;
  for (const moment of story.moments) {
    const gap = Math.abs(moment.time - time);
    if (best && gap >= best.gap) continue;
    const face = moment.faces.find((f) => f.track === track);
    if (face) best = { gap, box: face.box };
  }
  return best?.box;
}

const Legend = () => (
  <ul class="legend">
    {EMOTIONS.map((emotion) => (
      <li key={emotion}>
        <Swatch colour={COLOURS[emotion]} />
        {EMOTION_WORDS[emotion]}
      </li>
    ))}
  </ul>
);

function Scrubber({ story, now, seek }: { story: Story; now: Signal<number>; seek: Seek }) {
  return (
    <div class="scrub">
      <input
        type="range"
        min={story.start}
        max={story.end}
        step="any"
        value={now.value}
        aria-label={W.clip.scrub}
        aria-valuetext={clock(now.value)}
        onInput={(e) => seek(e.currentTarget.valueAsNumber)}
        onKeyDown={(e) => keyed(e, story, now, seek)}
      />
      <div class="axis" aria-hidden="true">
        {[0, 1, 2, 3, 4].map((i) => (
          <span key={i}>{clock(story.start + ((story.end - story.start) * i) / 4)}</span>
        ))}
      </div>
    </div>
  );
}

/** Arrows go by a frame, page keys by a second: a slider's own steps are too coarse or too fine. */
function keyed(event: KeyboardEvent, story: Story, now: Signal<number>, seek: Seek): void {
  const frames: Record<string, number> = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };
  const seconds: Record<string, number> = { PageDown: -1, PageUp: 1 };
  if (!(event.key in frames || event.key in seconds)) return;
  event.preventDefault();
  seek(beside(story.moments, now.value + (seconds[event.key] ?? 0), frames[event.key] ?? 0));
}

const share = (story: Story, time: number) =>
  Math.min(1, Math.max(0, (time - story.start) / (story.end - story.start || 1)));

function Band({ track, story, now, seek, thumbs }: {
  track: Track;
  story: Story;
  now: Signal<number>;
  seek: Seek;
  thumbs: Record<string, string>;
}) {
  const words = W.clip.mostly(EMOTION_WORDS[track.most], track.mean[track.most]);
  const thumb = thumbs[`${track.number}`];
  return (
    <div class="track" role="group" aria-label={W.face.short(track.number)}>
      <div class="head">
        {thumb ? <img src={thumb} alt="" /> : null}
        <div>
          <h4>
            <Swatch colour={trackColour(track.number)} />
            {W.face.title(track.number, words)}
          </h4>
          <p class="soft">
            {W.clip.inSight(clock(track.seconds))}; {W.clip.events(track.events.length)}
          </p>
        </div>
      </div>
      <Chart track={track} story={story} words={words} now={now} seek={seek} />
      <Apexes track={track} thumbs={thumbs} seek={seek} />
    </div>
  );
}

function Chart({ track, story, words, now, seek }: {
  track: Track;
  story: Story;
  words: string;
  now: Signal<number>;
  seek: Seek;
}) {
  const paths = useMemo(() => outlines(track.steps), [track]);
  const lanes = useMemo(() => lanesOf(track.events), [track]);
  const height = lanes.size ? 100 + 4 + LANE * lanes.size : 100;
  const go = (event: PointerEvent) => {
    const area = (event.currentTarget as HTMLElement).getBoundingClientRect();
    seek(story.start + Math.min(0.9999, Math.max(0, (event.clientX - area.left) / area.width)) * (story.end - story.start));
  };
  return (
    <div
      class="chart"
      style={{ height: `${(height / 100) * 5}rem` }}
      onPointerDown={(event) => {
        (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
        go(event);
      }}
      onPointerMove={(event) => event.buttons & 1 && go(event)}
    >
      <svg viewBox={`0 0 1000 ${height}`} preserveAspectRatio="none" role="img" aria-label={W.clip.band(track.number, words)}>
        <g transform={`scale(${1000 / track.steps.length} 1)`}>
          {paths.map(({ emotion, path }) => (
            <path key={emotion} fill={COLOURS[emotion]} d={path} />
          ))}
        </g>
        {track.events.map((event) => {
          const x = 1000 * share(story, event.onset);
          const y = 104 + LANE * (lanes.get(event.emotion) ?? 0) + 1;
          const width = Math.max(2, 1000 * share(story, event.offset) - x);
          return <rect key={eventKey(event)} class="mark" x={x} y={y} width={width} height={LANE - 2} fill={COLOURS[event.emotion]} />;
        })}
      </svg>
      <i class="playhead" style={{ left: `${100 * share(story, now.value)}%` }} />
    </div>
  );
}

function Apexes({ track, thumbs, seek }: { track: Track; thumbs: Record<string, string>; seek: Seek }) {
  const events = strongest(track);
  if (!events.length) return null;
  return (
    <ul class="apexes">
      {events.map((event) => {
        const thumb = thumbs[eventKey(event)];
        const word = EMOTION_WORDS[event.emotion];
        return (
          <li key={eventKey(event)}>
            <button type="button" onClick={() => seek(event.apex)}>
              <span class="hidden">{W.clip.goThere}</span>
              {thumb ? <img src={thumb} alt="" /> : <span class="blank" />}
              <span>
                <span>
                  <Swatch colour={COLOURS[event.emotion]} />
                  {word}
                </span>
                <span class="soft">{W.clip.apex(event.peak, clock(event.apex))}</span>
              </span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}

export function Events({ story, seek }: { story: Story; seek: Seek }) {
  const limit = useSignal(EVENTS);
  if (!story.events.length) return <p class="soft">{W.clip.eventsNone}</p>;
  const c = W.clip.columns;
  const rest = story.events.length - limit.value;
  return (
    <>
      <h3>{W.clip.eventsTitle}</h3>
      <p class="soft">{W.clip.eventsHint}</p>
      <div class="scroll" tabIndex={0} role="region" aria-label={W.clip.eventsTitle}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="word">{c.expression}</th>
              {[c.face, c.onset, c.apex, c.offset, c.duration, c.peak, c.mean].map((name) => (
                <th scope="col" key={name}>{name}</th>
              ))}
              <th scope="col" class="word">{c.cut}</th>
            </tr>
          </thead>
          <tbody>
            {story.events.slice(0, limit.value).map((event) => (
              <EventLine key={eventKey(event)} event={event} seek={seek} />
            ))}
          </tbody>
        </table>
      </div>
      {rest > 0 ? (
        <button type="button" onClick={() => (limit.value += 10 * EVENTS)}>
          {W.clip.moreEvents(Math.min(rest, 10 * EVENTS))}
        </button>
      ) : null}
    </>
  );
}

function EventLine({ event, seek }: { event: EventRow; seek: Seek }) {
  const word = EMOTION_WORDS[event.emotion];
  return (
    <tr>
      <th scope="row" class="word">
        <button
          type="button"
          class="link"
          aria-label={W.clip.goTo(word, event.track, clock(event.apex))}
          onClick={() => seek(event.apex)}
        >
          <Swatch colour={COLOURS[event.emotion]} />
          {word}
        </button>
      </th>
      <td>{event.track}</td>
      <td>{clock(event.onset)}</td>
      <td>{clock(event.apex)}</td>
      <td>{clock(event.offset)}</td>
      <td>{event.duration.toFixed(2)}</td>
      <td>{percent(event.peak)}</td>
      <td>{percent(event.mean)}</td>
      <td class="word">{event.cut ? W.clip.cuts[event.cut] : ""}</td>
    </tr>
  );
}
