// A clip: how far its reading is, then the player with its faces, the timeline and the events.

import { type Signal, useComputed, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { getEvents, getRows, Problem } from "./api";
import { type Clip, clips, removeClip } from "./clips";
import { Boxes, FaceCard } from "./face";
import { SaveClip } from "./save";
import { ProblemText, settle } from "./say";
import { Events, Timeline } from "./timeline";
import { at, type Story, storyOf } from "./tracks";
import { clock, W } from "./words";

export const Clips = () => (
  <>
    {clips.value.map((clip) => (
      <ClipSection key={clip.key} clip={clip} />
    ))}
  </>
);

export function ClipSection({ clip, onRemoved }: { clip: Clip; onRemoved?: () => void }) {
  const busy = clip.state === "sending" || clip.state === "queued" || clip.state === "running";
  const id = `clip-${clip.key}`;
  const remove = () => {
    void removeClip(clip.key);
    settle();
    onRemoved?.();
  };
  return (
    <section aria-labelledby={id}>
      <div class="top">
        <h2 id={id}>{W.clip.title(clip.name)}</h2>
        <button type="button" class="quiet" onClick={remove}>
          {busy ? W.clip.cancel : W.clip.remove}
        </button>
      </div>
      {clip.state === "done" && clip.job ? <SaveClip name={clip.name} results={clip.job.results} /> : null}
      {busy ? <Progress clip={clip} /> : null}
      {clip.problem ? <ProblemText problem={clip.problem} /> : null}
      {clip.state === "cancelled" ? <p>{W.clip.states.cancelled}</p> : null}
      {clip.job?.notes?.map((note) => (
        <p class="soft" key={note}>
          {note}
        </p>
      ))}
      {clip.state === "done" ? <Results clip={clip} /> : null}
    </section>
  );
}

function Progress({ clip }: { clip: Clip }) {
  const sending = clip.state === "sending";
  const share = sending ? clip.sent : clip.job?.progress;
  const words = sending ? W.clip.sending : W.clip.states[clip.state as "queued"];
  const { frames, faces } = clip.job ?? { frames: null, faces: null };
  return (
    <label class="progress">
      {words}
      {frames ? ` · ${W.clip.soFar(frames, faces)}` : ""}
      <progress aria-label={W.clip.progress(clip.name)} {...(share == null ? {} : { value: share })} max={1} />
    </label>
  );
}

function Results({ clip }: { clip: Clip }) {
  const story = useSignal<Story | null>(null);
  const problem = useSignal<Problem | null>(null);
  const results = clip.job?.results ?? {};
  useEffect(() => {
    void (async () => {
      try {
        const [rows, events] = await Promise.all([
          getRows(results["rows.json"] ?? ""),
          results["events.json"] ? getEvents(results["events.json"]) : [],
        ]);
        story.value = storyOf(rows, events);
      } catch (error) {
        problem.value = Problem.from(error);
      }
    })();
  }, [clip.job?.id]);
  if (problem.value) return <ProblemText problem={problem.value} />;
  if (!story.value) return <p class="soft">{W.clip.loading}…</p>;
  return <Viewer clip={clip} story={story.value} annotated={results["annotated.mp4"] ?? null} />;
}

type Source = { url: string | null; own: boolean; words: string | null };

/** The clip itself where the tab has it and the browser plays it, else the annotated copy, else none. */
function useSource(clip: Clip, annotated: string | null): [Signal<Source>, () => void] {
  const source = useSignal<Source>({ url: clip.url, own: true, words: null });
  const copy = (words: string, without: string) => {
    source.value = { url: annotated, own: false, words: annotated ? words : without };
  };
  useEffect(() => {
    if (!clip.url) copy(W.clip.noPicture, W.clip.noVideo);
  }, []);
  const failed = () => {
    if (source.value.own) copy(W.clip.annotatedInstead, W.clip.unplayable);
    else source.value = { url: null, own: false, words: W.clip.unplayable };
  };
  return [source, failed];
}

function Viewer({ clip, story, annotated }: { clip: Clip; story: Story; annotated: string | null }) {
  const video = useRef<HTMLVideoElement>(null);
  const now = useSignal(story.start);
  const [source, failed] = useSource(clip, annotated);
  const seek = (time: number) => {
    now.value = time;
    if (video.current) video.current.currentTime = time + 0.001;
  };
  return (
    <>
      <p class="soft">{W.clip.summary(story.moments.length, story.tracks.length, story.events.length)}</p>
      {source.value.words ? <p class="soft">{source.value.words}</p> : null}
      <div class="player">
        {source.value.url ? (
          <Player video={video} source={source.value} clip={clip} story={story} now={now} onFailed={failed} />
        ) : null}
        <Now story={story} now={now} />
      </div>
      {story.tracks.length ? (
        <>
          <Timeline story={story} now={now} seek={seek} url={source.value.url} />
          <Events story={story} seek={seek} />
        </>
      ) : (
        <p>{W.clip.noFace}</p>
      )}
    </>
  );
}

function Player({ video, source, clip, story, now, onFailed }: {
  video: RefObject<HTMLVideoElement | null>;
  source: Source;
  clip: Clip;
  story: Story;
  now: Signal<number>;
  onFailed: () => void;
}) {
  const size = useSignal<[number, number]>([0, 0]);
  const faces = useComputed(() => at(story.moments, now.value)?.faces ?? []);
  useEffect(() => (video.current ? followTime(video.current, now, story.start) : undefined), [source.url]);
  const loaded = () => {
    const player = video.current;
    if (!player) return;
    if (!player.videoWidth) onFailed(); // sound alone: the picture's codec is not known to the browser
    size.value = [player.videoWidth, player.videoHeight];
  };
  return (
    <div class="picture">
      <video
        ref={video}
        src={source.url ?? ""}
        controls
        playsInline
        preload="auto"
        aria-label={W.clip.player(clip.name)}
        onLoadedMetadata={loaded}
        onError={onFailed}
      />
      {source.own ? <Boxes faces={faces.value} width={size.value[0]} height={size.value[1]} /> : null}
    </div>
  );
}

/**
 * Keep `now` at the frame that is on the screen; where the browser tells it, to the very frame. A clip that
 * stands still shows the frame of its `currentTime`: what is told then may be the frame of a seek before the
 * last one, and a key pressed meanwhile would go on from there. Players may begin at 0 where the clip's own time
 * does not: `start` is that of its first frame.
 */
function followTime(video: HTMLVideoElement, now: Signal<number>, start: number): () => void {
  if ("requestVideoFrameCallback" in video) {
    let handle = 0;
    const frame = (_: number, meta: VideoFrameCallbackMetadata) => {
      now.value = Math.max(start, video.paused ? video.currentTime : meta.mediaTime);
      handle = video.requestVideoFrameCallback(frame);
    };
    handle = video.requestVideoFrameCallback(frame);
    return () => video.cancelVideoFrameCallback(handle);
  }
  const update = () => {
    now.value = Math.max(start, (video as HTMLVideoElement).currentTime);
  };
  const player = video as HTMLVideoElement;
  player.addEventListener("timeupdate", update);
  return () => player.removeEventListener("timeupdate", update);
}

/** The faces of the moment with their bars, in a place that keeps its size. */
function Now({ story, now }: { story: Story; now: Signal<number> }) {
  const moment = useMemo(() => at(story.moments, now.value), [story, now.value]);
  const faces = moment?.faces ?? [];
  return (
    <div class="now" tabIndex={0} role="region" aria-label={W.clip.nowRegion}>
      <p class="soft">{W.clip.now(clock(moment?.time ?? 0))}</p>
      {faces.length ? null : <p>{W.face.noneNow}</p>}
      {faces.map((face) => (
        <FaceCard key={face.track ?? face.face} face={face} />
      ))}
    </div>
  );
}
