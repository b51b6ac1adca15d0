// The clips that the server has: those being read, and those it keeps.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { about, deleteJob, listJobs, Problem } from "./api";
import { ClipSection } from "./clip";
import { clips, forgetJob, openJob } from "./clips";
import type { Job } from "./records";
import { complain, ProblemText, say, settle } from "./say";
import { percent, W } from "./words";

const AGAIN = 3000; // milliseconds between looks while something is being read

export function History({ id }: { id: string | null }) {
  return id ? <One id={id} /> : <All />;
}

function One({ id }: { id: string }) {
  useEffect(() => void openJob(id), [id]);
  const clip = clips.value.find((c) => c.job?.id === id);
  return (
    <>
      <p>
        <a href="#history">{W.history.back}</a>
      </p>
      {clip ? <ClipSection clip={clip} onRemoved={() => (location.hash = "history")} /> : <p>{W.history.loading}…</p>}
    </>
  );
}

function All() {
  const jobs = useSignal<Job[] | null>(null);
  const problem = useSignal<Problem | null>(null);
  const look = async () => {
    try {
      jobs.value = await listJobs();
      problem.value = null;
    } catch (error) {
      problem.value = Problem.from(error);
    }
  };
  useEffect(() => {
    void look();
    const timer = setInterval(() => jobs.value?.some(busy) && void look(), AGAIN);
    return () => clearInterval(timer);
  }, []);
  const remove = async (job: Job) => {
    try {
      await deleteJob(job.id);
      forgetJob(job.id);
      say(W.history.removed(job.name));
      settle();
    } catch (error) {
      complain(error);
    }
    await look();
  };
  return (
    <section aria-labelledby="history-title">
      <div class="top">
        <h2 id="history-title">{W.history.title}</h2>
        <button type="button" class="quiet" onClick={() => void look()}>
          {W.history.refresh}
        </button>
      </div>
      <p class="soft">
        {W.history.lead} {keeping()}
      </p>
      {problem.value ? <ProblemText problem={problem.value} /> : null}
      {jobs.value?.length === 0 ? <p>{W.history.none}</p> : null}
      {jobs.value?.length ? (
        <ul class="jobs">
          {jobs.value.map((job) => (
            <Line key={job.id} job={job} onRemove={() => void remove(job)} />
          ))}
        </ul>
      ) : null}
    </section>
  );
}

function keeping(): string {
  if (about.value?.keep) return W.history.kept;
  return about.value?.forget_after ? W.history.forgotten(about.value.forget_after) : "";
}

const busy = (job: Job) => job.state === "queued" || job.state === "running";

/** Seconds since 1970 or a date in ISO 8601, as people here write it. */
const when = (time: Job["created"]) =>
  time == null ? "" : new Date(typeof time === "number" ? 1000 * time : time).toLocaleString();

function Line({ job, onRemove }: { job: Job; onRemove: () => void }) {
  const share = job.state === "running" && job.progress != null ? ` ${percent(job.progress)}` : "";
  return (
    <li>
      <a href={`#history/${encodeURIComponent(job.id)}`} aria-label={W.history.open(job.name)}>
        {job.name}
      </a>
      <span class={job.state === "failed" ? "bad" : "soft"}>
        {W.clip.states[job.state]}
        {share}
      </span>
      <span class="soft">{when(job.created)}</span>
      <button
        type="button"
        class="quiet"
        aria-label={busy(job) ? W.history.cancel(job.name) : W.history.remove(job.name)}
        onClick={onRemove}
      >
        {busy(job) ? W.clip.cancel : W.clip.remove}
      </button>
    </li>
  );
}
