// The clips on the page: each is sent, followed while the server reads it, and shown.

import { signal } from "@preact/signals";
import { type ClipOptions, deleteJob, followJob, getJob, Problem, sendClip } from "./api";
import type { Job, JobState } from "./records";
import { complain, say } from "./say";
import { W } from "./words";

export interface Clip {
  key: number;
  name: string;
  url: string | null; // the clip itself, where this tab has it
  state: "sending" | JobState;
  sent: number; // share that has been sent
  job: Job | null;
  problem: Problem | null;
  stop: AbortController;
}

export const clips = signal<Clip[]>([]);
let count = 0;

function add(name: string, url: string | null, state: Clip["state"]): Clip {
  const clip: Clip = { key: ++count, name, url, state, sent: 0, job: null, problem: null, stop: new AbortController() };
  clips.value = [clip, ...clips.value];
  return clip;
}

function change(key: number, to: Partial<Clip>): void {
  clips.value = clips.value.map((clip) => (clip.key === key ? { ...clip, ...to } : clip));
}

/** How clips are read; the page's options change it. */
export const options = signal<ClipOptions>({ annotate: true, detectEvery: 10 });

export async function addClip(file: File): Promise<void> {
  const { key, stop } = add(file.name, URL.createObjectURL(file), "sending");
  try {
    const job = await sendClip(file, options.value, (sent) => change(key, { sent }), stop.signal);
    change(key, { job, state: job.state });
    await follow(key, job.id, file.name, stop.signal);
  } catch (error) {
    fail(key, error);
  }
}

/** Show a job that the server has, from the history. */
export async function openJob(id: string): Promise<void> {
  if (clips.value.some((clip) => clip.job?.id === id)) return;
  try {
    const job = await getJob(id);
    if (clips.value.some((clip) => clip.job?.id === id)) return;
    const { key, stop } = add(job.name, null, job.state);
    change(key, { job });
    await follow(key, id, job.name, stop.signal).catch((error: unknown) => fail(key, error));
  } catch (error) {
    complain(error);
  }
}

async function follow(key: number, id: string, name: string, signal: AbortSignal): Promise<void> {
  const last = await followJob(
    id,
    (job) => {
      const known = clips.value.find((clip) => clip.key === key)?.job;
      const merged = { ...known, ...job } as Job;
      change(key, { job: merged, state: merged.state === "done" && !job.results ? "running" : merged.state });
    },
    signal,
  );
  const failed = last.state === "failed";
  change(key, {
    job: last,
    state: last.state,
    problem: failed ? Problem.of(last.error ?? W.clip.states.failed) : null,
  });
  say(W.clip.announce(name, W.clip.states[last.state]));
}

function fail(key: number, error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  change(key, { state: "failed", problem: Problem.from(error) });
}

/** Take a clip off the page, and off the server; one that is being read is cancelled. */
export async function removeClip(key: number): Promise<void> {
  const clip = clips.value.find((c) => c.key === key);
  if (!clip) return;
  clip.stop.abort();
  clips.value = clips.value.filter((c) => c.key !== key);
  if (clip.url) URL.revokeObjectURL(clip.url);
  if (!clip.job) return;
  try {
    await deleteJob(clip.job.id);
  } catch (error) {
    if (!(error instanceof Problem && error.status === 404)) complain(error);
  }
}

/** Take off the page what a job in the history showed. */
export function forgetJob(id: string): void {
  for (const clip of clips.value.filter((c) => c.job?.id === id)) {
    clip.stop.abort();
    if (clip.url) URL.revokeObjectURL(clip.url);
  }
  clips.value = clips.value.filter((c) => c.job?.id !== id);
}
